# Millrace as a small image: docker build -t millrace . (docker buildx build --platform linux/amd64,linux/arm64 for both)
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Not npm ci: it wants the optional libraries of all platforms in the lock file.
RUN npm install --ignore-scripts --no-audit --no-fund
COPY . .
# Whoever runs the image reads neither declarations nor pages.
RUN node scripts/build.ts \
  && rm -r dist/millrace/docs dist/millrace/README.md \
  && find dist/millrace -name '*.d.ts' -delete

# What the program needs at run time, without packages for development. Binaries that are Node itself, or ffmpeg, are left out,
# and of the packages what Node never loads: sources, declarations, source maps and pages are a quarter of them. Licenses stay.
FROM node:24-bookworm-slim AS modules
WORKDIR /modules
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node-linux-* node_modules/node-darwin-* node_modules/node-bin-* node_modules/node-win-* node_modules/ffmpeg-static \
  && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' \) ! -iname 'licen[cs]e*' -delete

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=modules /modules/node_modules ./node_modules
COPY --from=build /build/dist/millrace ./
# `docker exec NAME millrace top` needs a name; modules of tasks beside the workflows import `millrace/workers`.
# A new volume at /workflows takes the folder's owner, so the program can write there.
RUN mkdir /node_modules /workflows \
  && ln -s /app /node_modules/millrace \
  && ln -s /app/bin/millrace.js /usr/local/bin/millrace \
  && chown node:node /workflows
USER node
# Workflows are mounted here; what they write goes here too.
WORKDIR /workflows
EXPOSE 4600
# MILLRACE_SERVER names the server where it is elsewhere (`--port`), here as for the commands that speak to it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(new URL('/livez', process.env.MILLRACE_SERVER || 'http://127.0.0.1:4600')).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# New objects may fill 32 MB before they are looked at; by itself Node takes twice that, for memory of which little comes back.
ENTRYPOINT ["node", "--max-semi-space-size=32", "/app/bin/millrace.js"]
# Inside of a container every address is foreign, so MILLRACE_TOKEN must be set.
CMD ["serve", "--host", "0.0.0.0"]
