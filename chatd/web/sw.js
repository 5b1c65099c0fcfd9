/** What is pushed while no page is open: shown, and opened on a click. It keeps nothing and fetches nothing. */

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let push = {};
  try { push = event.data?.json() ?? {}; } catch { /* not ours; a push must show something all the same */ }
  const { title = "chatd", body = "", tag, badge, data = {} } = push;
  event.waitUntil(Promise.all([
    self.registration.showNotification(title, { body, tag, data, icon: "icon.svg", badge: "icon.svg", renotify: Boolean(tag) }),
    typeof badge === "number" ? self.navigator.setAppBadge?.(badge) : null,
  ]));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { chat_id: chatId } = event.notification.data ?? {};
  const url = new URL(/^cht_\w+$/.test(chatId ?? "") ? `./#/chat/${chatId}` : "./#/notifications", self.registration.scope).href;
  event.waitUntil((async () => {
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const page = pages.find((one) => one.url.startsWith(self.registration.scope));
    if (!page) return self.clients.openWindow(url);
    await page.focus();
    return page.navigate(url);
  })());
});
