import { env } from 'hearth';
import type { Base } from '../base.ts';

/** The post: by weight, cheaper at home, never fast. */
export default (env as { BASE: Base }).BASE.carrier(({ grams, country, express }) => {
  if (express) return null;
  return { cents: 390 + 150 * Math.floor(grams / 1000) + (country === 'DE' ? 0 : 800), days: country === 'DE' ? 2 : 6 };
});
