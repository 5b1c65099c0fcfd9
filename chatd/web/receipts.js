/** How far each member of a chat has read, or received: user id to seq. */

/** Move somebody's mark; it never goes back. */
export function mark(marks, userId, seq) {
  if (seq <= (marks.get(userId) ?? 0)) return;
  marks.set(userId, seq);
  marks.sorted = null;
}

/** How many but `me` are at `seq` or further; asked for each message of a page, so by bisection. */
export function reachedBy(marks, seq, me) {
  marks.sorted ??= [...marks].filter(([id]) => id !== me).map(([, at]) => at).sort((a, b) => a - b);
  let [low, high] = [0, marks.sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks.sorted[middle] < seq) low = middle + 1;
    else high = middle;
  }
  return marks.sorted.length - low;
}
