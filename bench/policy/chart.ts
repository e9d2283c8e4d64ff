/** The two plots of the page, drawn by Vega-Lite without a browser. */
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

export interface Point {
  x: number;
  y: number;
  series: string;
}

export interface ChartText {
  title: string;
  x: string;
  y: string;
}

/** A line for each series, as an SVG document. */
export function lines(points: Point[], text: ChartText, withPoints: boolean): Promise<string> {
  const spec: TopLevelSpec = {
    title: text.title,
    width: 560,
    height: 320,
    background: 'white',
    data: { values: points },
    mark: { type: 'line', point: withPoints },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: text.x },
      y: { field: 'y', type: 'quantitative', title: text.y },
      color: { field: 'series', type: 'nominal', title: null, sort: null },
      order: { field: 'x', type: 'quantitative' },
    },
  };
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}
