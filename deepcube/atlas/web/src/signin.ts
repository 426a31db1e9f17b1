/** The dialog that asks for the key. */

import { post } from "./api";
import { byId, h } from "./dom";

/** Ask for the key until it is the right one, and then do something. */
export function askForKey(then: () => void): void {
  const dialog = byId<HTMLDialogElement>("sign-in");
  if (dialog.open) return;
  const key = h("input", { type: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "hint", role: "alert" });
  const form = h("form", { method: "dialog" },
    h("h2", { id: "sign-in-title" }, "Sign in to the atlas"),
    h("p", { class: "hint" }, "`deepcube open` prints an address that signs you in, and says where the key is."),
    h("label", {}, "Key", key), problem, h("button", { class: "first" }, "Sign in"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    post("session", { key: key.value }).then(() => { dialog.close(); then(); }, (error: Error) => { problem.textContent = error.message; });
  });
  dialog.replaceChildren(form);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
}
