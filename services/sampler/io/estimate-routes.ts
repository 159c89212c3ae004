/** The route by which an evaluation begins. Its blocks are jobs: see `job-routes.ts`. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  OutlookRequestSchema,
  parseOutlookRequest,
  type ClusterOutlook,
  type OutlookRequest,
} from '../service/index.js';

export interface EstimateRouteOptions {
  readonly outlook: (request: OutlookRequest) => Promise<ClusterOutlook>;
}

/** Fields of the query that are numbers. */
const numbers = new Set(['step', 'calls', 'seed']);

const jsonSchema = (schema: z.ZodType): Record<string, unknown> => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' }) as Record<string, unknown>;
  return rest;
};

export function addEstimateRoutes(app: FastifyInstance, { outlook }: EstimateRouteOptions): void {
  app.get<{ Querystring: Record<string, string> }>(
    '/v1/estimates',
    {
      schema: {
        summary:
          'What an evaluation of a checkpoint would be of: its origin with the fingerprint of its bits, shape and number of images, images in a block, samplers that are heard. Send its blocks as jobs of mode evaluate.',
        querystring: jsonSchema(OutlookRequestSchema),
      },
    },
    async (request) =>
      outlook(
        parseOutlookRequest(
          Object.fromEntries(
            Object.entries(request.query).map(([name, text]) => [name, numbers.has(name) ? Number(text) : text]),
          ),
        ),
      ),
  );
}
