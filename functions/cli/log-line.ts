/** A line of a function's log, as the API tells it, and in which colour a terminal shows it. */
import type { Format } from './cli.ts';

export interface LogLine {
  time: string;
  level: string;
  message: string;
  version: string;
  invocationId: string | null;
}

/** By level; the others are in no colour. */
export const LEVEL_COLOURS: Readonly<Record<string, Format>> = {
  error: 'red',
  warn: 'yellow',
  debug: 'dim',
  trace: 'dim',
};
