# What one does most; .ci/run does everything.
.PHONY: build test lint bench demo

build:
	go build -o build/unet ./cli/unet

test:
	go vet ./...
	go test ./...

# gofmt, the import rules and golangci-lint, which bench/tools pins.
lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go tool -modfile=bench/tools/go.mod golangci-lint run ./...

# Every kernel beside its reference and its peak, then a step of the networks.
bench:
	go run ./bench/speed/kernels
	go test -run xxx -bench . ./unet/...

demo:
	go run ./cli/unet demo
