import { env } from 'hearth';
import type { Base } from '../base.ts';

const COUNTRIES = new Set(['DE', 'AT', 'NL', 'FR']);

/** A courier: few countries, nothing heavy, tomorrow. */
export default (env as { BASE: Base }).BASE.carrier(({ grams, country }) =>
  COUNTRIES.has(country) && grams <= 5000 ? { cents: 1490 + Math.ceil(grams / 10), days: 1 } : null,
);
