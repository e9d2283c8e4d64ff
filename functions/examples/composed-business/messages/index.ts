import { components, implement, Refusal } from 'hearth/business';
import type { Base } from '../base.ts';

const GREETINGS: Record<string, string> = { DE: 'Hallo NAME', NL: 'Hoi NAME', IS: 'Halló NAME' };

export default components<{ BASE: Base }>(({ BASE: { points } }) => [
  implement(points.draft, 'short', ({ campaign, country }) => ({
    subject: campaign,
    text: `${GREETINGS[country] ?? 'Hello NAME'}, ${campaign}! Your code: CODE`,
  })),
  implement(points.delivery, 'mail', ({ subject, text, to }, { log }) => {
    const refused = to.find(({ email }) => email.endsWith('.invalid'));
    // To try again would not help, and a letter to half of them is worse than none.
    if (refused !== undefined) throw new Refusal(`the mail server of ${refused.email} takes no mail`);
    for (const { name, email, code } of to) {
      log.info(`to ${email}: ${subject}: ${text.replace('NAME', name).replace('CODE', code ?? 'none')}`);
    }
    return { sent: to.length };
  }),
]);
