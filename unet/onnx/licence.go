package onnx

import (
	_ "embed"
	"strings"
)

// spdx lists the identifiers of licences that SPDX knows, deprecated ones left out:
// those of the npm package spdx-license-ids 3.0.23, which is CC0-1.0.
//
//go:embed spdx.txt
var spdx string

// Licence returns the SPDX identifier of a licence, in whatever case it is written;
// "" for none.
func Licence(name string) string {
	for id := range strings.FieldsSeq(spdx) {
		if strings.EqualFold(id, name) {
			return id
		}
	}
	return ""
}
