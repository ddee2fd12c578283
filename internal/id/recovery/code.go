package recovery

import (
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

const deviceDomain = "logline.device.v1\n"

// DeviceCode is what a new device shows, for a person to take to the one that approves
// it: its public key, for one identity, in the groups of a recovery sheet. It is no
// secret.
func DeviceCode(identity string, key [32]byte) string {
	all := make([]string, groups)
	for at := range all {
		all[at] = groupOf(deviceDomain, identity, key, at)
	}
	return strings.Join(all, "-")
}

// ParseDeviceCode is the public key in a code for an identity, as somebody typed or
// pasted it. Every failure is Invalid: device_code.
func ParseDeviceCode(identity, code string) (key [32]byte, err error) {
	digits, err := typedKey(code)
	if err == nil {
		key, err = judgeKey(deviceDomain, identity, digits)
	}
	switch fault.CodeOf(err) {
	case "":
		return key, nil
	case "recovery_checksum":
		return key, fault.New(fault.Invalid, "device_code", "the code is of a device that asks for another identity than yours")
	}
	return key, fault.New(fault.Invalid, "device_code", "the code is not as the device shows it: "+strings.ReplaceAll(fault.From(err).Detail, "sheet", "device"))
}
