/** The ground of the map: land, borders and names of countries from packaged Natural Earth. */

import type { FeatureCollection, Geometry, Position } from "geojson";
import type { Topology } from "topojson-specification";
import { feature } from "topojson-client";
import Feature from "ol/Feature";
import GeoJSON from "ol/format/GeoJSON";
import Point from "ol/geom/Point";
import VectorLayer from "ol/layer/Vector";
import { fromLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";

export interface Tint { water: string; land: string; border: string; label: string; halo: string; mark: string }
export const TINTS: Record<"light" | "dark", Tint> = {
  light: { water: "#cfdfe8", land: "#f4f2ec", border: "#5d6b68", label: "#37423f", halo: "#ffffff", mark: "#111111" },
  dark: { water: "#16222b", land: "#28302f", border: "#8fa09b", label: "#d3deda", halo: "#111817", mark: "#ffffff" },
};

const NAMES_UNTIL = 10; // zoom; closer than this a name in the middle of a country tells nothing

/** The countries as features of the map; both maps of a swipe share them. */
interface Countries { areas: VectorSource; names: VectorSource }
let countries: Promise<Countries> | null = null;
async function load(): Promise<Countries> {
  const response = await fetch(`${location.origin}/static/countries-50m.json`);
  const topology = (await response.json()) as Topology;
  const found = feature(topology, topology.objects.countries!) as FeatureCollection<Geometry>;
  for (const { geometry } of found.features) {
    if (geometry.type === "Polygon") geometry.coordinates = geometry.coordinates.map(unrolled);
    if (geometry.type === "MultiPolygon") geometry.coordinates = geometry.coordinates.map((part) => part.map(unrolled));
  }
  const format = new GeoJSON({ featureProjection: "EPSG:3857" });
  return { areas: new VectorSource({ features: format.readFeatures(found) }), names: new VectorSource({ features: labels(found) }) };
}

/** Return a ring that crosses the date line without its jumps around the world; one around a pole stays as it is. */
function unrolled(ring: Position[]): Position[] {
  let turn = 0;
  const found = ring.map(([x, y], i) => {
    const before = i > 0 ? ring[i - 1]![0]! : x!;
    if (x! - before > 180) turn -= 360;
    if (before - x! > 180) turn += 360;
    return [x! + turn, y!];
  });
  return turn === 0 ? found : ring;
}

/** Land below everything, borders and names above the layers of the atlas. */
export class Base {
  readonly land = new VectorLayer({ className: "ol-layer land", zIndex: 0 });
  readonly borders = new VectorLayer({ className: "ol-layer borders", zIndex: 20 });
  readonly names = new VectorLayer({ className: "ol-layer names", zIndex: 21, declutter: true, maxZoom: NAMES_UNTIL });

  constructor(tint: Tint) {
    this.paint(tint);
    countries ??= load();
    countries.catch(() => { countries = null; });
  }

  /** Draw the ground from now on. It is not drawn before the map looks where it shall: the whole world takes a while. */
  async show(): Promise<void> {
    const { areas, names } = await (countries ??= load());
    this.land.setSource(areas);
    this.borders.setSource(areas);
    this.names.setSource(names);
  }

  /** Draw in other colours. */
  paint(tint: Tint): void {
    this.land.setStyle(new Style({ fill: new Fill({ color: tint.land }) }));
    this.borders.setStyle(new Style({ stroke: new Stroke({ color: tint.border, width: 0.9 }) }));
    const text = new Text({
      font: '12px "DejaVu Sans", sans-serif', fill: new Fill({ color: tint.label }), stroke: new Stroke({ color: tint.halo, width: 2.4 }),
      padding: [6, 6, 6, 6], overflow: true,
    });
    const style = new Style({ text });
    this.names.setStyle((one) => {
      text.setText(one.get("name") as string);
      style.setZIndex(one.get("size") as number);
      return style;
    });
  }
}

/** Return a point in the middle of the largest part of every country, for its name; the largest countries first. */
function labels(data: FeatureCollection<Geometry>): Feature[] {
  return data.features.map(({ properties, geometry }) => {
    const parts = geometry.type === "MultiPolygon" ? geometry.coordinates : geometry.type === "Polygon" ? [geometry.coordinates] : [];
    let best: [number, number, number] = [0, 0, -1];
    for (const [ring] of parts) {
      let doubled = 0, x = 0, y = 0;
      for (let i = 0; i + 1 < ring!.length; i += 1) {
        const [[ax, ay], [bx, by]] = [ring![i] as [number, number], ring![i + 1] as [number, number]];
        const cross = ax * by - bx * ay;
        doubled += cross;
        x += (ax + bx) * cross;
        y += (ay + by) * cross;
      }
      if (doubled !== 0 && Math.abs(doubled) > best[2]) best = [x / (3 * doubled), y / (3 * doubled), Math.abs(doubled)];
    }
    const name = new Feature(new Point(fromLonLat([best[0], best[1]])));
    name.setProperties({ name: String(properties?.["name"] ?? ""), size: best[2] });
    return name;
  });
}
