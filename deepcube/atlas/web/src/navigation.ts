/** The navigation: the views of the atlas, and the sections of the platform's console. */

import { byId, h } from "./dom";
import type { Scene } from "./scene";
import { type State, write } from "./state";

/** Draw the navigation; `go` shows a view. */
export function navigate(scene: Scene, go: (view: State["view"]) => void): void {
  const { state, contents } = scene;
  const views: [State["view"], string][] = [["map", "Map"], ["block", "Space-time block"]];
  if (contents.semantics) views.push(["query", "Query"]);
  const items = views.map(([view, title]) => h("li", {}, h("a", {
    href: write({ ...state, view }), "aria-current": state.view === view ? "page" : null,
    click: (event: Event) => { event.preventDefault(); go(view); },
  }, title)));
  for (const [title, url] of Object.entries(contents.links)) items.push(h("li", {}, h("a", { href: url }, title)));
  byId("navigation").replaceChildren(h("ul", {}, ...items));
}
