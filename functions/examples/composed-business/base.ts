/** The base of campaigns: it declares the points. Who fills them, and in which order, others decide. */
import { campaignAnswer, campaignRequest, points } from './schema.ts';

const base = { points, campaignRequest, campaignAnswer };

export type Base = typeof base;

export default (): Base => base;
