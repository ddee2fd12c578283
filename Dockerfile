# A static binary on an empty image, run by a user without rights.
# scripts/container.py runs these steps where there is no container engine.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG RAILWAY_GIT_COMMIT_SHA
ARG VERSION=${RAILWAY_GIT_COMMIT_SHA:-container}
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=${VERSION}" -o /out/logline ./cmd/logline
RUN mkdir -m 0700 /out/data && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/logline /logline
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/tmp /tmp
ENV LOGLINE_DATA_DIR=/data PORT=8080
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s CMD ["/logline", "health"]
ENTRYPOINT ["/logline"]
CMD ["serve", "--modules=all"]
