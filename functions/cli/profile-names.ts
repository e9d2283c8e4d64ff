/** A CPU profile told in the names and places of its author's sources. */
import type { SourceMap } from 'node:module';

interface CallFrame {
  functionName: string;
  url: string;
  /** Both from 0; -1: V8's own. */
  lineNumber: number;
  columnNumber: number;
}

/** What of a .cpuprofile is read here; the rest is left as it is. */
export interface CpuProfile {
  nodes: { callFrame: CallFrame; positionTicks?: { line: number; ticks: number }[] }[];
}

/** The frames of this function's code (NAME.js) lead to its sources. Changes the profile. */
export function nameBySources(profile: CpuProfile, functionName: string, map: SourceMap): void {
  for (const node of profile.nodes) {
    const { callFrame } = node;
    if (callFrame.url !== `${functionName}.js` || callFrame.lineNumber < 0) continue;
    const origin = map.findEntry(callFrame.lineNumber, callFrame.columnNumber);
    if (!('originalSource' in origin)) continue;
    callFrame.url = origin.originalSource;
    callFrame.lineNumber = origin.originalLine;
    callFrame.columnNumber = origin.originalColumn;
    // They count lines of the bundle.
    delete node.positionTicks;
  }
}
