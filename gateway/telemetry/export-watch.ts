/** Says once that an export fails and once that it works again, instead of a line per attempt. */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { Logger } from './log.ts';

export function watchExport(
  log: Logger,
  what: 'traces' | 'metrics' | 'logs',
  url: string,
): (result: ExportResult) => void {
  let failing = false;
  return (result) => {
    const failed = result.code !== ExportResultCode.SUCCESS;
    if (failed === failing) return;
    failing = failed;
    if (failed)
      log.warn(`OpenTelemetry ${what} cannot be exported; requests are not affected.`, { url, error: result.error });
    else log.info(`OpenTelemetry ${what} are exported again.`, { url });
  };
}
