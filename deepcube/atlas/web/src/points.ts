/** Points on the map: at each time the newest one of every place, coloured by its value; alerts are triangles. */

import Feature from "ol/Feature";
import Point from "ol/geom/Point";
import VectorLayer from "ol/layer/Vector";
import { fromLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import Circle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import RegularShape from "ol/style/RegularShape";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import { type Contents, type Layer, type Points, get } from "./api";
import type { Tint } from "./base";
import { quantity } from "./dom";
import { styled } from "./legend";
import type { Shown } from "./state";

/** Return the newest row of every place until a step. */
export function newest(points: Points, step: number): Map<number, { step: number; value: number }> {
  const found = new Map<number, { step: number; value: number }>();
  for (const [place, at, value] of points.rows) if (at <= step) found.set(place, { step: at, value });
  return found;
}

/** The layer of points of one map. */
export class PointMarks {
  readonly layer = new VectorLayer({ source: new VectorSource(), className: "ol-layer points", zIndex: 28 });
  private readonly known = new Map<string, Promise<Points>>();
  private readonly styles = new Map<string, Style>();
  private tint: Tint | null = null;
  private drawn: [number, number][] = [];
  private again: (() => void) | null = null;

  /** Draw on light or dark ground. */
  paint(tint: Tint): void {
    this.tint = tint;
    this.styles.clear();
    this.again?.();
  }

  /** Return the points of a layer, which are asked for once. */
  fetch(layer: Layer): Promise<Points> {
    const key = JSON.stringify([layer.collection, layer.id]);
    let found = this.known.get(key);
    if (!found) {
      found = get<Points>("points", { in: layer.collection, layer: layer.id });
      found.catch(() => this.known.delete(key));
      this.known.set(key, found);
    }
    return found;
  }

  /** Show the points of a step. */
  show(points: Points, layer: Layer, shown: Shown, step: number, palettes: Contents["palettes"]): void {
    this.again = () => this.show(points, layer, shown, step, palettes);
    const { stops, low, high } = styled(layer, shown, palettes);
    const features: Feature[] = [];
    this.drawn = [];
    const rows = [...newest(points, step)].sort((one, other) => one[1].value - other[1].value); // the greatest on top
    for (const [place, row] of rows) {
      const [longitude, latitude, name] = points.places[place]!;
      const share = high > low ? Math.min(1, Math.max(0, (row.value - low) / (high - low))) : 0.5;
      const feature = new Feature(new Point(fromLonLat([longitude, latitude])));
      const when = (layer.times?.[row.step] ?? "").slice(0, 10);
      feature.set("point", { at: [longitude, latitude], text: `${name ? `${name}, ` : ""}${when}: ${quantity(row.value, layer.units)}` });
      feature.setStyle(this.style(stops[Math.round(share * (stops.length - 1))]!, points.symbol, row.step === step));
      features.push(feature);
      this.drawn.push([longitude, latitude]);
    }
    const source = this.layer.getSource()!;
    source.clear();
    source.addFeatures(features);
  }

  /** Forget what was asked for. */
  forget(): void {
    this.known.clear();
  }

  /** Show none. */
  hide(): void {
    this.again = null;
    this.drawn = [];
    this.layer.getSource()!.clear();
  }

  /** Return the point nearest to a place; null where none is shown. */
  nearest(longitude: number, latitude: number): [number, number] | null {
    let best: [number, number] | null = null, least = Infinity;
    for (const one of this.drawn) {
      const across = (((one[0] - longitude + 540) % 360) - 180) * Math.cos((latitude * Math.PI) / 180);
      const apart = Math.hypot(across, one[1] - latitude);
      if (apart < least) { least = apart; best = one; }
    }
    return best;
  }

  private style(colour: string, symbol: Points["symbol"], now: boolean): Style {
    const key = `${colour} ${symbol} ${now}`;
    let found = this.styles.get(key);
    if (!found) {
      const edge = new Stroke({ color: now ? (this.tint?.label ?? "#000") : (this.tint?.halo ?? "#fff"), width: now ? 2.5 : 1.2 });
      const fill = new Fill({ color: colour });
      const image = symbol === "triangle"
        ? new RegularShape({ points: 3, radius: now ? 12 : 10, fill, stroke: edge })
        : new Circle({ radius: now ? 8 : 6.5, fill, stroke: edge });
      found = new Style({ image });
      this.styles.set(key, found);
    }
    return found;
  }
}
