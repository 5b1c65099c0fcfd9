/** Log in, or make an account. */

import { explain, h } from "./dom.js";

export function showLogin(root, client, done) {
  let joining = false;

  const draw = () => {
    const problem = h("p", { class: "problem", role: "alert", id: "problem" });
    const submit = h("button", { type: "submit", class: "primary wide" }, joining ? "Create account" : "Log in");
    const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); go(form, submit, problem); } },
      joining && field("Your name", "display_name", { autocomplete: "name", maxlength: "60", hint: "What others see." }),
      field("Email", "email", { type: "email", autocomplete: "username", inputmode: "email" }),
      field("Password", "password", {
        type: "password", autocomplete: joining ? "new-password" : "current-password", maxlength: "128",
        hint: joining ? "At least 8 characters." : null,
      }),
      problem, submit);
    root.replaceChildren(h("main", { class: "door" },
      h("div", { class: "card" },
        h("img", { src: "icon.svg", alt: "", width: "48", height: "48" }),
        h("h1", {}, joining ? "Create an account" : "Welcome back"),
        h("p", { class: "muted" }, joining ? "Then share your link, and talk." : "Log in to go on talking."),
        form,
        h("p", { class: "switch" }, joining ? "You have an account? " : "New here? ",
          h("button", { type: "button", class: "text", onclick: () => { joining = !joining; draw(); } },
            joining ? "Log in" : "Create an account")))));
    root.querySelector("input").focus();
  };

  const go = async (form, submit, problem) => {
    const { display_name, email, password } = Object.fromEntries(new FormData(form));
    const wrong = check(form, joining);
    if (wrong) return complain(form, problem, ...wrong);
    submit.disabled = true;
    problem.textContent = "";
    try {
      if (joining) await client.session.register(email, password, display_name);
      else await client.session.login(email, password);
      done();
    } catch (error) {
      if (!error.code) throw error;
      const at = error.errors[0]?.path.replace("$.", "");
      const text = error.code === "unauthenticated" ? "This email and password do not belong together." : error.errors[0]?.message ?? explain(error);
      complain(form, problem, at ?? "email", text);
    } finally {
      submit.disabled = false;
    }
  };

  draw();
}

function field(label, name, { hint = null, type = "text", ...attributes } = {}) {
  return h("label", { class: "field" }, h("span", {}, label),
    h("input", { name, type, required: true, "aria-describedby": "problem", ...attributes }),
    hint && h("small", { class: "muted" }, hint));
}

function check(form, joining) {
  const { display_name, email, password } = Object.fromEntries(new FormData(form));
  if (joining && !display_name.trim()) return ["display_name", "Say what others shall call you."];
  if (!/^\S+@\S+$/.test(email.trim())) return ["email", "This does not look like an email address."];
  if (!password) return ["password", "Type your password."];
  if (joining && [...password].length < 8) return ["password", "The password needs at least 8 characters."];
  return null;
}

function complain(form, problem, name, text) {
  problem.textContent = text;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
  const input = form.elements[name];
  input?.setAttribute("aria-invalid", "true");
  input?.focus();
}
