import { business, defineBusiness, defineFlow } from 'hearth/business';
import type { Base } from '../base.ts';

/** A letter and nothing else: the shop itself is cheaper on that day. */
export default business<{ BASE: Base }>(({ BASE: { points, campaignRequest, campaignAnswer } }) => {
  const letter = defineFlow({
    name: 'letter',
    input: campaignRequest,
    output: campaignAnswer,
    steps: (steps) =>
      steps
        .step('audience', points.audience, {
          from: 'SEGMENTS',
          // One template: the component is chosen instead.
          component: ({ request: { audience } }) => audience,
          input: ({ request: { country } }) => ({ country, most: 1000 }),
        })
        .step('delivery', points.delivery, {
          from: 'MESSAGES',
          component: 'mail',
          input: ({ request: { campaign, percent }, done: { audience } }) => ({
            subject: campaign,
            text: `NAME, everything costs ${percent} % less today.`,
            to: audience.members.map((one) => ({ ...one, code: null })),
          }),
        }),
    result: ({ request: { campaign }, done }) => ({ campaign, reached: done.delivery.sent, batch: null }),
  });
  return defineBusiness({
    name: 'friday',
    description: 'One letter, on one Friday in November.',
    input: campaignRequest,
    output: campaignAnswer,
    choose: () => 'letter',
    templates: { letter },
  });
});
