# A static binary on an empty image; data lives in the volume at /data.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w -X main.version=${VERSION}" -o /logline ./cmd/logline

FROM scratch
COPY --from=build /logline /logline
ENV LOGLINE_DATA_DIR=/data PORT=8080
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/logline"]
CMD ["serve", "--modules=all"]
