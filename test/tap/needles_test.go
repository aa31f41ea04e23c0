package tap_test

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/tap"
)

func TestAMarkerIsFoundInEveryDressAndOverEveryBorder(t *testing.T) {
	const marker, secret = "Zq7Xk", "ab-Zq7Xk-0017"
	reversed := []byte(secret)
	slices.Reverse(reversed)
	needles := tap.NewNeedles(marker)
	for name, dressed := range map[string]string{
		"raw": secret, "reversed": string(reversed), "upper": strings.ToUpper(secret), "lower": strings.ToLower(secret),
		"hex": hex.EncodeToString([]byte(secret)), "upper hex": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64, moved by 1": base64.StdEncoding.EncodeToString([]byte("." + secret)),
		"base64, moved by 2": base64.StdEncoding.EncodeToString([]byte(".." + secret)),
	} {
		text := strings.Repeat("x", 200) + dressed + strings.Repeat("y", 200)
		for border := range len(text) {
			scanner := needles.Scanner()
			if hits := append(scanner.Scan([]byte(text[:border])), scanner.Scan([]byte(text[border:]))...); len(hits) != 1 {
				t.Fatalf("%s, cut at %d: %d hits; want 1", name, border, len(hits))
			}
		}
		scanner, found := needles.Scanner(), 0
		for i := range len(text) {
			found += len(scanner.Scan([]byte{text[i]}))
		}
		if found != 1 {
			t.Errorf("%s, byte by byte: %d hits; want 1", name, found)
		}
	}
	if hits := needles.Scanner().Scan([]byte("Zq7X Zq7k zQ7-Xk 5a7137586c")); len(hits) != 0 {
		t.Errorf("found %v where there is nothing", hits)
	}
}
