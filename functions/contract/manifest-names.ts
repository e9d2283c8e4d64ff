/** Names as manifests write them. */
import { z } from 'zod';
import { NAME_PATTERN, NAME_RULE, QUEUE_NAME_PATTERN } from './limits.ts';

const BINDING_PATTERN = /^[A-Za-z_$][A-Za-z0-9_$]{0,127}$/;
export const NAMESPACE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const nameSchema = z.string().regex(NAME_PATTERN, `A name ${NAME_RULE}.`);
export const queueNameSchema = z
  .string()
  .regex(QUEUE_NAME_PATTERN, `A queue's name ${NAME_RULE}; a dead-letter queue may end in ".dead".`);
export const bindingSchema = z
  .string()
  .regex(BINDING_PATTERN, 'A binding is named like a variable of JavaScript.')
  .refine(
    (name) => name !== 'BASE',
    '"BASE" is what the base definition\'s setup returns; name the binding otherwise.',
  );
/** Of locks, counters and configuration: means something within one trust group. */
export const namespaceSchema = z
  .string()
  .regex(NAMESPACE_PATTERN, 'A namespace has letters, digits, ".", "_" and "-", at most 128 characters.');

/** A whole number from `least` to `most`. */
export const whole = (least: number, most: number) => z.int().min(least).max(most);
