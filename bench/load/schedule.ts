/** When the requests of an open loop fall due: by the clock alone, whatever the server does. */

/** Requests a second, moving evenly from `from` to `to` within `ms`. */
export interface Stage {
  from: number;
  to: number;
  ms: number;
}

/**
 * Ms from the start, ascending: the points at which the area under the rate reaches 0, 1, 2, … requests.
 * A stage holds (from + to) / 2 × ms / 1000 of them; parts of one go on into the next stage.
 */
export function dueTimes(stages: readonly Stage[]): number[] {
  const due: number[] = [];
  let begins = 0;
  let area = 0;
  for (const { from, to, ms } of stages) {
    const seconds = ms / 1000;
    const slope = seconds === 0 ? 0 : (to - from) / seconds;
    const whole = ((from + to) / 2) * seconds;
    for (let number = due.length; number < area + whole; number = due.length) {
      due.push(begins + 1000 * timeOf(number - area, from, slope));
    }
    begins += ms;
    area += whole;
  }
  return due;
}

/** The rate at a time; 0 behind the last stage. */
export function rateAt(stages: readonly Stage[], atMs: number): number {
  let begins = 0;
  for (const { from, to, ms } of stages) {
    if (atMs < begins + ms) return from + ((to - from) * (atMs - begins)) / ms;
    begins += ms;
  }
  return 0;
}

/** Seconds until `from` × t + slope × t² / 2 is `count`. */
function timeOf(count: number, from: number, slope: number): number {
  if (slope === 0) return count / from;
  return (Math.sqrt(Math.max(0, from * from + 2 * slope * count)) - from) / slope;
}
