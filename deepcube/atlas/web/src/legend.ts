/** The legend of a layer: its colours with their values and units. */

import type { Contents, Layer } from "./api";
import { digits, h, s } from "./dom";
import type { Shown } from "./state";

/** Return the colours and the range that a layer is drawn with. */
export function styled(layer: Layer, shown: Shown, palettes: Contents["palettes"]): { stops: string[]; low: number; high: number } {
  return {
    stops: (shown.palette && palettes[shown.palette]) || layer.style.stops,
    low: shown.low ?? layer.style.low, high: shown.high ?? layer.style.high,
  };
}

/** Return the name of a class, or the names of all bits that a value has; nothing for what is no class. */
export function className(layer: Layer, value: number | null): string | undefined {
  const { classes, masks } = layer.style;
  if (value === null || !masks) return classes.find((each) => each.value === value)?.label;
  return classes.filter((each) => (value & each.value) !== 0).map((each) => each.label).join(", ") || undefined;
}

/** Make the legend of a layer. */
export function legend(layer: Layer, shown: Shown, palettes: Contents["palettes"]): HTMLElement {
  const units = layer.units && layer.units !== "1" ? layer.units : "";
  const title = h("div", { class: "legend-title" }, layer.title, units ? h("span", { class: "units" }, ` ${units}`) : null);
  const parts: HTMLElement[] = [title];
  if (layer.mode === "points") {
    parts.push(h("div", { class: "hint" }, `${layer.id === "alert" ? "Triangles: alerts until the time shown" : "The newest of each place until the time shown"}; ringed: of this time`));
  }
  if (layer.simulated) parts.push(h("div", { class: "simulated" }, "Simulated data"));
  if (layer.style.scheme === "classes") {
    const list = h("ul", { class: "classes" });
    for (const category of layer.style.classes.slice(0, 14)) {
      const swatch = s("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" },
        s("rect", { width: 10, height: 10, fill: category.colour }));
      list.append(h("li", {}, swatch, category.label));
    }
    if (layer.style.classes.length > 14) list.append(h("li", {}, `and ${layer.style.classes.length - 14} more`));
    parts.push(list);
  } else {
    const { stops, low, high } = styled(layer, shown, palettes);
    const bar = s("svg", {
      class: "ramp", viewBox: `0 0 ${stops.length} 1`, preserveAspectRatio: "none", role: "img",
      "aria-label": `Colours from ${digits(low)} to ${digits(high)} ${units}`,
    });
    stops.forEach((colour, i) => bar.append(s("rect", { x: i, width: 1.02, height: 1, fill: colour })));
    const middle = (low + high) / 2;
    parts.push(h("div", {}, bar as unknown as HTMLElement), h("div", { class: "scale" },
      h("span", {}, digits(low, 3)), h("span", {}, digits(Math.abs(middle) < (high - low) * 1e-9 ? 0 : middle, 3)), h("span", {}, digits(high, 3))));
  }
  return h("div", { class: "legend" }, ...parts);
}
