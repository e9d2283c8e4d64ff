/** The gateway as a file to start: nothing of it is imported here. */
import { fileURLToPath } from 'node:url';

export const GATEWAY_MAIN = fileURLToPath(new URL('../../gateway/main.ts', import.meta.url));

/** As `npm start` has them. */
export const GATEWAY_FLAGS: readonly string[] = ['--disable-sigusr1'];
