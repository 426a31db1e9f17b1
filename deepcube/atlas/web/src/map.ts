/** The map: a base of packaged borders, a layer of the cube above it, and a second map for the other half of a swipe. */

import * as maplibre from "maplibre-gl";
import type { FeatureCollection, Geometry } from "geojson";
import type { Topology } from "topojson-specification";
import { feature } from "topojson-client";
import { address, type Layer } from "./api";
import type { Shown } from "./state";

maplibre.setWorkerUrl(`${location.origin}/static/maplibre-gl-worker.js`);

interface Tint { water: string; land: string; border: string; label: string; halo: string }
const TINTS: Record<"light" | "dark", Tint> = {
  light: { water: "#cfdfe8", land: "#f4f2ec", border: "#5d6b68", label: "#37423f", halo: "#ffffff" },
  dark: { water: "#16222b", land: "#28302f", border: "#8fa09b", label: "#d3deda", halo: "#111817" },
};

let borders: Promise<FeatureCollection<Geometry>> | null = null;
function countries(): Promise<FeatureCollection<Geometry>> {
  borders ??= fetch(`${location.origin}/static/countries-50m.json`).then(async (response) => {
    const topology = (await response.json()) as Topology;
    return feature(topology, topology.objects.countries!) as FeatureCollection<Geometry>;
  });
  return borders;
}

/** Return the address of one step of a layer, or of its tiles. */
export function picture(layer: Layer, shown: Shown, step: number): string {
  const query = {
    in: layer.collection, layer: layer.id, t: step, palette: shown.palette, low: shown.low, high: shown.high,
  };
  if (layer.mode === "frame") return address("frame", query);
  return `${address("tile", query)}&z={z}&x={x}&y={y}`;
}

/** One map: base, one layer, outlines of what is selected. */
export class AtlasMap {
  readonly map: maplibre.Map;
  private address = "";
  private layer: Layer | null = null;
  private ready: Promise<void>;

  constructor(container: HTMLElement, dark: boolean, camera: maplibre.CameraOptions, interactive = true) {
    const tint = TINTS[dark ? "dark" : "light"];
    this.map = new maplibre.Map({
      container, interactive: true, fadeDuration: 0, attributionControl: false, maxPitch: 0, dragRotate: false,
      pitchWithRotate: false, canvasContextAttributes: { preserveDrawingBuffer: true },
      center: camera.center ?? [10, 30], zoom: camera.zoom ?? 1.5, maxZoom: 20,
      style: {
        version: 8,
        sources: {
          countries: { type: "geojson", data: empty(), attribution: "Natural Earth" },
          places: { type: "geojson", data: empty() },
          selection: { type: "geojson", data: empty() },
          answer: { type: "geojson", data: empty() },
        },
        layers: [
          { id: "water", type: "background", paint: { "background-color": tint.water } },
          { id: "land", type: "fill", source: "countries", paint: { "fill-color": tint.land } },
          { id: "borders", type: "line", source: "countries", paint: { "line-color": tint.border, "line-width": 0.9 } },
          {
            id: "names", type: "symbol", source: "places", maxzoom: 9,
            layout: {
              "text-field": ["get", "name"], "text-size": 12, "text-font": ["DejaVu Sans", "sans-serif"],
              "text-max-width": 7, "text-padding": 6, "symbol-sort-key": ["get", "size"],
            },
            paint: { "text-color": tint.label, "text-halo-color": tint.halo, "text-halo-width": 1.2 },
          },
          {
            id: "answer-areas", type: "fill", source: "answer", filter: ["==", ["geometry-type"], "Polygon"],
            paint: { "fill-color": ["get", "__colour"], "fill-opacity": 0.45, "fill-outline-color": tint.label },
          },
          {
            id: "answer-lines", type: "line", source: "answer", filter: ["==", ["geometry-type"], "LineString"],
            paint: { "line-color": ["get", "__colour"], "line-width": 3 },
          },
          {
            id: "answer-points", type: "circle", source: "answer", filter: ["==", ["geometry-type"], "Point"],
            paint: {
              "circle-color": ["get", "__colour"], "circle-radius": 7, "circle-stroke-color": tint.halo, "circle-stroke-width": 1.5,
            },
          },
          {
            id: "cell", type: "line", source: "selection",
            paint: { "line-color": dark ? "#ffffff" : "#111111", "line-width": 2.5 },
          },
        ],
      },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new maplibre.AttributionControl({ compact: false }), "bottom-right");
    if (interactive) this.map.addControl(new maplibre.ScaleControl({ maxWidth: 90 }), "bottom-left");
    this.ready = new Promise((resolve) => this.map.once("style.load", () => resolve()));
    void Promise.all([countries(), this.ready]).then(([data]) => {
      this.source("countries")?.setData(data);
      this.source("places")?.setData(labels(data));
    });
  }

  private source(name: string): maplibre.GeoJSONSource | undefined {
    return this.map.getSource(name);
  }

  /** Draw with light or dark ground. */
  async paint(dark: boolean): Promise<void> {
    await this.ready;
    const tint = TINTS[dark ? "dark" : "light"];
    this.map.setPaintProperty("water", "background-color", tint.water);
    this.map.setPaintProperty("land", "fill-color", tint.land);
    this.map.setPaintProperty("borders", "line-color", tint.border);
    this.map.setPaintProperty("names", "text-color", tint.label);
    this.map.setPaintProperty("names", "text-halo-color", tint.halo);
    this.map.setPaintProperty("cell", "line-color", dark ? "#ffffff" : "#111111");
  }

  /** Show one step of a layer; resolves when the map has drawn it. */
  async show(layer: Layer, shown: Shown, step: number, opacity: number): Promise<void> {
    await this.ready;
    const wanted = picture(layer, shown, step);
    const same = this.layer !== null && this.layer.collection === layer.collection && this.layer.id === layer.id;
    if (same && wanted === this.address) return this.fade(opacity);
    this.address = wanted;
    if (same && layer.mode === "frame") {
      (this.map.getSource("cube") as maplibre.ImageSource).updateImage({ url: wanted });
    } else if (same) {
      (this.map.getSource("cube") as maplibre.RasterTileSource).setTiles([wanted]);
    } else {
      this.replace(layer, wanted);
    }
    this.fade(opacity);
    await new Promise<void>((resolve) => this.map.once("idle", () => resolve()));
  }

  private replace(layer: Layer, wanted: string): void {
    if (this.map.getLayer("cube")) this.map.removeLayer("cube");
    if (this.map.getSource("cube")) this.map.removeSource("cube");
    this.layer = layer;
    const [west, south, east, north] = layer.bounds;
    const [bottom, top] = [Math.max(south, -85.05), Math.min(north, 85.05)];
    if (layer.mode === "frame") {
      const coordinates: maplibre.Coordinates = [[west, top], [east, top], [east, bottom], [west, bottom]];
      this.map.addSource("cube", { type: "image", url: wanted, coordinates });
    } else {
      const bounds = (east <= 180 ? [west, bottom, east, top] : [-180, bottom, 180, top]) as [
        number, number, number, number,
      ];
      this.map.addSource("cube", { type: "raster", tiles: [wanted], tileSize: 256, maxzoom: layer.maxzoom, bounds });
    }
    this.map.addLayer(
      { id: "cube", type: "raster", source: "cube", paint: { "raster-resampling": "nearest", "raster-fade-duration": 0 } },
      "borders",
    );
  }

  /** Fetch steps that are likely to be wanted next, so that they come from the browser's own store. */
  prefetch(layer: Layer, shown: Shown, steps: number[]): void {
    if (layer.mode !== "frame") return;
    for (const step of steps) void fetch(picture(layer, shown, step)).catch(() => undefined);
  }

  /** Show nothing. */
  async clear(): Promise<void> {
    await this.ready;
    if (this.map.getLayer("cube")) this.map.removeLayer("cube");
    if (this.map.getSource("cube")) this.map.removeSource("cube");
    this.layer = null;
    this.address = "";
  }

  private fade(opacity: number): void {
    if (this.map.getLayer("cube")) this.map.setPaintProperty("cube", "raster-opacity", opacity);
  }

  /** Draw the outline of a cell, or none. */
  async outline(ring: [number, number][] | null): Promise<void> {
    await this.ready;
    const drawn: FeatureCollection = ring
      ? {
        type: "FeatureCollection",
        features: [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } }],
      }
      : empty();
    this.source("selection")?.setData(drawn);
  }

  /** Draw the places of an answer; each brings its colour. */
  async places(data: FeatureCollection, move: boolean): Promise<void> {
    await this.ready;
    this.source("answer")?.setData(data);
    if (!move || !data.features.length) return;
    const bounds = new maplibre.LngLatBounds();
    const grow = (part: unknown): void => {
      if (!Array.isArray(part)) return;
      if (typeof part[0] === "number") bounds.extend([part[0], part[1] as number]);
      else part.forEach(grow);
    };
    for (const each of data.features) if (each.geometry.type !== "GeometryCollection") grow(each.geometry.coordinates);
    this.map.fitBounds(bounds, { padding: 60, maxZoom: 11, duration: 0 });
  }

  /** Return what an answer says of the place at a point of the map. */
  placeAt(point: maplibre.PointLike): Record<string, unknown> | null {
    const found = this.map.queryRenderedFeatures(point, { layers: ["answer-points", "answer-lines", "answer-areas"] });
    return found[0]?.properties ?? null;
  }

  /** Move so that a layer is seen whole. */
  fit(layer: Layer, animate = true): void {
    const [west, south, east, north] = layer.bounds;
    this.map.fitBounds([[west, Math.max(south, -80)], [east, Math.min(north, 80)]], {
      padding: 30, duration: animate ? 600 : 0, maxZoom: 17,
    });
  }

  /** Tell whether some of a layer is in view. */
  sees(layer: Layer): boolean {
    const seen = this.map.getBounds(), [west, south, east, north] = layer.bounds;
    return seen.getWest() < east && seen.getEast() > west && seen.getSouth() < north && seen.getNorth() > south;
  }
}

/** Return a point in the middle of the largest part of every country, for its name. */
function labels(data: FeatureCollection<Geometry>): FeatureCollection {
  const features = data.features.map(({ properties, geometry }): FeatureCollection["features"][number] => {
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
    return {
      type: "Feature", properties: { name: String(properties?.["name"] ?? ""), size: -best[2] },
      geometry: { type: "Point", coordinates: [best[0], best[1]] },
    };
  });
  return { type: "FeatureCollection", features };
}

function empty(): FeatureCollection {
  return { type: "FeatureCollection", features: [] };
}
