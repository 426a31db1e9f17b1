/** The panel of layers: which one is shown, how, and beside which other. */

import type { Collection, Contents, Layer } from "./api";
import { byId, h } from "./dom";
import type { Form } from "./exports";
import { styled } from "./legend";
import type { Shown, State } from "./state";

export interface Actions {
  choose: (which: "main" | "other", shown: Shown | null) => void;
  opacity: (value: number) => void;
  centre: () => void;
  fit: () => void;
  export: (form: Form) => void;
}

function options(contents: Contents, chosen: Shown | null, none: string | null): HTMLSelectElement {
  const select = h("select", {});
  if (none !== null) select.append(h("option", { value: "" }, none));
  for (const collection of contents.collections) {
    const group = h("optgroup", { label: collection.title + (collection.simulated ? " (simulated)" : "") });
    for (const layer of collection.layers) {
      const units = layer.units && layer.units !== "1" ? ` (${layer.units})` : "";
      const option = h("option", { value: JSON.stringify([collection.id, layer.id]) }, layer.title + units);
      option.selected = chosen?.collection === collection.id && chosen.layer === layer.id;
      group.append(option);
    }
    select.append(group);
  }
  return select;
}

function choice(value: string): Shown | null {
  if (!value) return null;
  const [collection, layer] = JSON.parse(value) as [string, string];
  return { collection, layer };
}

function facts(collection: Collection): HTMLElement | null {
  const rows = Object.entries(collection.facts).flatMap(([name, value]) => [
    h("dt", {}, name), h("dd", {}, value.length > 200 ? `${value.slice(0, 197)}...` : value),
  ]);
  if (!rows.length && !collection.leftOut.length) return null;
  const left = collection.leftOut.map((each) => h("p", { class: "hint" }, each));
  return h("details", {}, h("summary", {}, "About these data"), h("dl", { class: "facts" }, ...rows), ...left);
}

/** Copy the address, which restores all that is seen. */
async function share(button: HTMLButtonElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch { button.textContent = "Copy it from the address bar"; }
  setTimeout(() => { button.textContent = "Copy link"; }, 2500);
}

/** Draw the panel for a state. */
export function drawControls(contents: Contents, state: State, main: Layer | null, actions: Actions): void {
  const panel = byId("controls");
  const opener = h("button", {
    type: "button", class: "open-layers", "aria-expanded": String(panel.classList.contains("opened")),
    click: () => {
      panel.classList.toggle("opened");
      opener.setAttribute("aria-expanded", String(panel.classList.contains("opened")));
    },
  }, "Layers");
  const shown = options(contents, state.main, null);
  shown.addEventListener("change", () => actions.choose("main", choice(shown.value)));
  const other = options(contents, state.other, "Nothing");
  other.addEventListener("change", () => actions.choose("other", choice(other.value)));
  const parts: (HTMLElement | null)[] = [opener, h("label", {}, "Layer", shown)];
  if (main && state.main && !main.style.classes.length) parts.push(range(contents, state.main, main, actions));
  const opacity = h("input", { type: "range", min: 0, max: 100, value: Math.round(state.opacity * 100) });
  opacity.addEventListener("input", () => actions.opacity(Number(opacity.value) / 100));
  parts.push(h("label", {}, "Opacity", opacity));
  if (state.view === "map") parts.push(h("label", {}, "Compare with", other));
  parts.push(h("div", { class: "row" },
    h("button", { type: "button", click: actions.fit }, "Show all"),
    h("button", { type: "button", click: actions.centre, title: "Select the place in the middle of the map" }, "Select the middle"),
    h("button", { type: "button", click: (event: Event) => void share(event.currentTarget as HTMLButtonElement) }, "Copy link")));
  if (main && state.view === "map") {
    const buttons = (["png", "csv", "geojson", "html"] as const).map((form) =>
      h("button", { type: "button", click: () => actions.export(form) }, { png: "PNG", csv: "CSV", geojson: "GeoJSON", html: "Page" }[form]));
    parts.push(h("details", {}, h("summary", {}, "Save what is seen"), h("div", { class: "row" }, ...buttons)));
  }
  const collection = contents.collections.find((each) => each.id === state.main?.collection);
  parts.push(collection ? facts(collection) : null);
  for (const note of contents.notes) parts.push(h("p", { class: "hint", "data-note": "" }, note));
  const scroll = panel.scrollTop;
  panel.replaceChildren(...parts.filter((part): part is HTMLElement => part !== null));
  panel.scrollTop = scroll;
}

function range(contents: Contents, shown: Shown, layer: Layer, actions: Actions): HTMLElement {
  const { low, high } = styled(layer, shown, contents.palettes);
  const palette = h("select", {});
  for (const name of Object.keys(contents.palettes)) {
    const option = h("option", { value: name }, name);
    option.selected = name === (shown.palette ?? layer.style.palette);
    palette.append(option);
  }
  const from = h("input", { type: "number", step: "any", value: low }), to = h("input", { type: "number", step: "any", value: high });
  const change = (): void => {
    const chosen: Shown = { collection: shown.collection, layer: shown.layer };
    if (palette.value !== layer.style.palette) chosen.palette = palette.value;
    const [least, most] = [from.valueAsNumber, to.valueAsNumber];
    if (Number.isFinite(least) && Number.isFinite(most) && least < most && (least !== layer.style.low || most !== layer.style.high)) {
      chosen.low = least;
      chosen.high = most;
    }
    actions.choose("main", chosen);
  };
  for (const input of [palette, from, to]) input.addEventListener("change", change);
  return h("div", { class: "row" }, h("label", {}, "Colours", palette), h("label", {}, "From", from), h("label", {}, "To", to));
}
