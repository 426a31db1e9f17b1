/** The map: a base of packaged borders, a layer of the cube above it, the selected cell, and places of an answer. */

import type { FeatureCollection } from "geojson";
import OlMap from "ol/Map";
import View from "ol/View";
import Attribution from "ol/control/Attribution";
import ScaleLine from "ol/control/ScaleLine";
import Zoom from "ol/control/Zoom";
import type { Extent } from "ol/extent";
import { intersects } from "ol/extent";
import GeoJSON from "ol/format/GeoJSON";
import LineString from "ol/geom/LineString";
import Point from "ol/geom/Point";
import Feature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import { defaults as interactions } from "ol/interaction/defaults";
import TileLayer from "ol/layer/Tile";
import VectorLayer from "ol/layer/Vector";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj";
import VectorSource from "ol/source/Vector";
import XYZ from "ol/source/XYZ";
import Circle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import { address, type Contents, type Layer } from "./api";
import { Base, TINTS } from "./base";
import { Pictures } from "./pictures";
import { PointMarks } from "./points";
import type { Camera, Shown } from "./state";
import { StepLayer } from "./steplayer";

const FARTHEST_NORTH = 85.05; // where EPSG:3857 ends

/** Return the address of one step of a layer, or of its tiles. */
export function picture(layer: Layer, shown: Shown, step: number): string {
  const query = {
    in: layer.collection, v: layer.version, layer: layer.id, t: step, palette: shown.palette, low: shown.low, high: shown.high,
  };
  if (layer.mode === "frame") return address("frame", query);
  return `${address("tile", query)}&z={z}&x={x}&y={y}`;
}

function projected([west, south, east, north]: Layer["bounds"], most = FARTHEST_NORTH): Extent {
  return transformExtent([west, Math.max(south, -most), east, Math.min(north, most)], "EPSG:4326", "EPSG:3857");
}

/** Resolve when the browser has put on the screen what was drawn until now. */
function painted(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

/** One map: base, one layer, outlines of what is selected. */
export class AtlasMap {
  private readonly map: OlMap;
  private readonly base: Base;
  private readonly steps = new StepLayer(10);
  private readonly selection = new VectorLayer({ source: new VectorSource(), className: "ol-layer selection", zIndex: 30 });
  private readonly answer = new VectorLayer({ source: new VectorSource(), className: "ol-layer answer", zIndex: 29 });
  private readonly points = new PointMarks();
  private tiles: TileLayer<XYZ> | null = null;
  private address = "";
  private tiled: Layer | null = null;
  private readonly pictures = new Pictures();
  private tint;

  /** A map that shares the view of another moves with it. */
  constructor(private readonly container: HTMLElement, dark: boolean, camera: Camera | null, beside: AtlasMap | null = null) {
    this.tint = TINTS[dark ? "dark" : "light"];
    this.base = new Base(this.tint);
    const view = beside?.map.getView() ?? new View({
      center: fromLonLat(camera ? [camera.longitude, camera.latitude] : [10, 30]), zoom: camera?.zoom ?? 2.5, minZoom: 1, maxZoom: 21,
      enableRotation: false,
    });
    const tools = document.getElementById("tools")!;
    const controls = beside ? [] : [
      new Zoom({ target: tools, zoomInLabel: "+", zoomOutLabel: "–" }), new ScaleLine({ target: tools, minWidth: 60 }),
      new Attribution({ target: tools, collapsible: false, attributions: "Natural Earth" }),
    ];
    this.map = new OlMap({
      target: container, view, controls, interactions: interactions({ altShiftDragRotate: false, pinchRotate: false }),
      layers: [this.base.land, this.steps, this.base.borders, this.base.names, this.points.layer, this.answer, this.selection],
    });
    this.paint(dark);
  }

  /** Where the map looks. */
  get camera(): Camera {
    const view = this.map.getView(), [longitude, latitude] = toLonLat(view.getCenter()!) as [number, number];
    return { longitude, latitude, zoom: view.getZoom()! };
  }

  set camera({ longitude, latitude, zoom }: Camera) {
    this.map.getView().setCenter(fromLonLat([longitude, latitude]));
    this.map.getView().setZoom(zoom);
  }

  /** West, south, east and north of what is in view, in degrees. */
  get bounds(): [number, number, number, number] {
    return transformExtent(this.map.getView().calculateExtent(this.map.getSize()), "EPSG:3857", "EPSG:4326") as [number, number, number, number];
  }

  /** Call when the map has moved. */
  onMoved(action: () => void): void {
    this.map.on("moveend", action);
  }

  /** Call with the place that is clicked, and with what an answer says of it. */
  onClick(action: (longitude: number, latitude: number, said: Record<string, unknown> | null) => void): void {
    this.map.on("click", (event) => {
      const [longitude, latitude] = toLonLat(event.coordinate) as [number, number];
      const found = this.map.forEachFeatureAtPixel(event.pixel, (one) => one, { layerFilter: (one) => one === this.answer, hitTolerance: 4 });
      const { geometry: _, ...said } = found?.getProperties() ?? {};
      const point = found ? null : this.pointAt(event.pixel);
      if (point) action(...point.at, null);
      else action(longitude, latitude, found ? said : null);
    });
  }

  /** Call with what is under the pointer, in words. */
  onHover(action: (text: string) => void): void {
    this.map.on("pointermove", (event) => { if (!event.dragging) action(this.pointAt(event.pixel)?.text ?? ""); });
  }

  private pointAt(pixel: number[]): { at: [number, number]; text: string } | null {
    const options = { layerFilter: (one: unknown) => one === this.points.layer, hitTolerance: 3 };
    return this.map.forEachFeatureAtPixel(pixel, (one) => one.get("point") as { at: [number, number]; text: string }, options) ?? null;
  }

  /** The place in the middle; of points, the one nearest to it. */
  middle(): [number, number] {
    const { longitude, latitude } = this.camera;
    return this.points.nearest(longitude, latitude) ?? [longitude, latitude];
  }

  /** Draw with light or dark ground. */
  paint(dark: boolean): void {
    this.tint = TINTS[dark ? "dark" : "light"];
    this.container.style.backgroundColor = this.tint.water;
    this.base.paint(this.tint);
    const ring = new Stroke({ color: this.tint.mark, width: 2.5 });
    this.selection.setStyle(new Style({ stroke: ring, image: new Circle({ radius: 12, stroke: ring }) }));
    this.points.paint(this.tint);
    this.answer.setStyle((one) => this.placeStyle(one));
  }

  private placeStyle(one: FeatureLike): Style {
    const colour = String(one.get("__colour") ?? "#c2410c");
    const edge = new Stroke({ color: this.tint.halo, width: 1.5 });
    const kind = one.getGeometry()?.getType() ?? "";
    if (kind.endsWith("Point")) return new Style({ image: new Circle({ radius: 7, fill: new Fill({ color: colour }), stroke: edge }) });
    if (kind.endsWith("LineString")) return new Style({ stroke: new Stroke({ color: colour, width: 3 }) });
    return new Style({ fill: new Fill({ color: `${colour}73` }), stroke: new Stroke({ color: this.tint.label, width: 1 }) });
  }

  /** Take the room that there is. */
  resize(): void {
    this.map.updateSize();
  }

  /** Forget what was drawn, so that it is asked for anew. */
  forget(): void {
    this.address = "";
    this.points.forget();
  }

  /** Forget the map. */
  remove(): void {
    this.map.setTarget(undefined);
  }

  /** Show one step of a layer; resolves when it is on the screen. */
  async show(layer: Layer, shown: Shown, step: number, opacity: number, palettes: Contents["palettes"]): Promise<void> {
    const wanted = picture(layer, shown, step), first = this.address === "";
    this.steps.setOpacity(opacity);
    this.tiles?.setOpacity(opacity);
    this.points.layer.setOpacity(opacity);
    if (wanted === this.address) return;
    this.address = wanted;
    try {
      if (layer.mode === "points") await this.showPoints(layer, shown, step, wanted, palettes);
      else if (layer.mode === "frame") await this.showPicture(layer, shown, step, wanted);
      else await this.showTiles(layer, wanted, opacity);
    } catch (error) {
      if (this.address !== wanted) return; // given up for another step
      this.address = "";
      throw error;
    }
    if (first) await this.ground();
    await painted();
  }

  /** Draw land, borders and names; resolves when they are drawn. */
  async ground(): Promise<void> {
    await this.base.show().catch(() => undefined); // a map without borders still shows the layer
    this.map.renderSync();
  }

  private async showPoints(layer: Layer, shown: Shown, step: number, wanted: string, palettes: Contents["palettes"]): Promise<void> {
    const points = await this.points.fetch(layer);
    if (this.address !== wanted) return;
    this.noTiles();
    this.steps.show(null, [0, 0, 0, 0]);
    this.points.show(points, layer, shown, step, palettes);
  }

  private async showPicture(layer: Layer, shown: Shown, step: number, wanted: string): Promise<void> {
    const near = [step + 1, step + 2, step - 1].filter((each) => each >= 0 && each < (layer.times?.length ?? 0));
    const around = near.map((each) => picture(layer, shown, each));
    const bitmap = await this.pictures.get(wanted, around);
    if (this.address !== wanted) return;
    this.noTiles();
    this.points.hide();
    this.steps.show(bitmap, projected(layer.bounds));
    this.pictures.prefetch(around);
  }

  private async showTiles(layer: Layer, url: string, opacity: number): Promise<void> {
    if (this.tiles && this.tiled === layer) {
      this.tiles.getSource()!.setUrl(url);
    } else {
      this.noTiles();
      this.points.hide();
      this.steps.show(null, [0, 0, 0, 0]);
      const source = new XYZ({ url, maxZoom: layer.maxzoom, interpolate: false, transition: 0 });
      const around = layer.bounds[2] > 180; // beyond the date line: tiles of the whole world
      this.tiles = new TileLayer({
        source, opacity, zIndex: 11, className: "ol-layer tiles", ...(around ? {} : { extent: projected(layer.bounds) }),
      });
      this.tiled = layer;
      this.map.addLayer(this.tiles);
    }
    await new Promise<void>((resolve) => this.map.once("rendercomplete", () => resolve()));
  }

  private noTiles(): void {
    if (this.tiles) this.map.removeLayer(this.tiles);
    this.tiles = null;
  }

  /** Fetch a step that will be wanted. */
  prefetch(layer: Layer, shown: Shown, step: number): void {
    if (layer.mode === "frame") this.pictures.prefetch([picture(layer, shown, step)]);
  }

  /** Draw the outline of a cell, a ring around a point, or nothing. */
  outline(ring: [number, number][] | null, point: [number, number] | null = null): void {
    const source = this.selection.getSource()!;
    source.clear();
    if (point) source.addFeature(new Feature(new Point(fromLonLat(point))));
    if (ring?.length) source.addFeature(new Feature(new LineString(ring.map((corner) => fromLonLat(corner)))));
  }

  /** Draw the places of an answer; each brings its colour. */
  places(data: FeatureCollection, move: boolean): void {
    const source = this.answer.getSource()!;
    source.clear();
    source.addFeatures(new GeoJSON({ featureProjection: "EPSG:3857" }).readFeatures(data));
    if (move && data.features.length) this.map.getView().fit(source.getExtent()!, { padding: [60, 60, 60, 60], maxZoom: 12 });
  }

  /** Move so that a layer is seen whole. */
  fit(layer: Layer, animate = true): void {
    this.map.getView().fit(projected(layer.bounds, 80), { padding: [30, 30, 30, 30], maxZoom: 18, duration: animate ? 400 : 0 });
  }

  /** Tell whether some of a layer is in view. */
  sees(layer: Layer): boolean {
    return intersects(this.map.getView().calculateExtent(this.map.getSize()), projected(layer.bounds));
  }

  /** Return what the map shows as one picture. */
  canvas(): HTMLCanvasElement {
    this.map.renderSync();
    const [width, height] = this.map.getSize() as [number, number], ratio = window.devicePixelRatio;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d")!;
    pen.fillStyle = this.tint.water;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = false;
    for (const layer of this.container.querySelectorAll<HTMLCanvasElement>(".ol-layer canvas")) {
      if (!layer.width) continue;
      const opacity = layer.style.opacity || layer.parentElement!.style.opacity;
      pen.globalAlpha = opacity === "" ? 1 : Number(opacity);
      const matrix = /^matrix\((.*)\)$/.exec(layer.style.transform)?.[1]?.split(",").map(Number);
      const [a, b, c, d, e, f] = matrix ?? [width / layer.width, 0, 0, height / layer.height, 0, 0];
      pen.setTransform(a! * ratio, b! * ratio, c! * ratio, d! * ratio, e! * ratio, f! * ratio);
      pen.drawImage(layer, 0, 0);
    }
    return canvas;
  }
}
