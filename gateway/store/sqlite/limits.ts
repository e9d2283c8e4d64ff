/** What its log may keep of the disk beside the database, bytes. */
export const MOST_LOG_BYTES = 64 * 1024 * 1024;
