import { env } from 'hearth';
import type { Base } from '../base.ts';

export default (env as { BASE: Base }).BASE.dispatch();
