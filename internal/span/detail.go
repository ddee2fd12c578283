package span

// maxDetail bounds a detail in bytes of JCS; it is erased with the payload and
// shares its default limit.
const maxDetail = 1 << 20

// Detail is the erasable part of a decision (PROTOCOL §4), kept beside the
// payload. Empty fields are absent members.
type Detail struct {
	Salt        string // b64u of 16 bytes
	Actions     []byte // JCS object or nil: bodies of the decision's actions, by index
	Notes       []string
	Annotations []byte // JCS object or nil
	Reasons     []string
}

var detailShape = shape{kind: "detail", names: []string{"actions", "annotations", "notes", "reasons", "salt"}, required: 1 << 4}

// ParseDetail reads a detail and gives its JCS form too.
func ParseDetail(src []byte) (*Detail, []byte, error) {
	if len(src) > sourceSlack*maxDetail {
		return nil, nil, errDetailSize()
	}
	s := scanner{src: src}
	d := &Detail{}
	_, err := s.top(&detailShape, 1<<5-1, func(i int) (err error) {
		switch i {
		case 0:
			d.Actions, err = s.embedded(true)
		case 1:
			d.Annotations, err = s.embedded(true)
		case 2:
			d.Notes, err = s.texts(maxDetail, anyText, &detailShape, i, "")
		case 3:
			d.Reasons, err = s.texts(maxDetail, anyText, &detailShape, i, "")
		default:
			if d.Salt, err = s.text(); err == nil && !isB64Of(d.Salt, saltSize) {
				return detailShape.wrong(i, "b64u of exactly 16 bytes")
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	c := d.Canonical()
	if len(c) > maxDetail {
		return nil, nil, errDetailSize()
	}
	return d, c, nil
}

func errDetailSize() error {
	return refusef("detail_too_large", "the detail has more than %d bytes", maxDetail)
}

// Canonical is JCS of the detail with its salt.
func (d *Detail) Canonical() []byte { return d.append(nil, d.Salt) }

// Hash is detail_hash, H(salt || JCS(detail without salt)). A salt that is not
// b64u of 16 bytes hashes as empty.
func (d *Detail) Hash() Hash {
	salt, err := ParseB64(d.Salt, saltSize)
	if err != nil {
		salt = nil
	}
	return Sum(salt, d.append(nil, ""))
}

func (d *Detail) append(dst []byte, salt string) []byte {
	at := len(dst)
	if d.Actions != nil {
		dst = append(dst, `,"actions":`...)
		dst = append(dst, d.Actions...)
	}
	if d.Annotations != nil {
		dst = append(dst, `,"annotations":`...)
		dst = append(dst, d.Annotations...)
	}
	dst = appendList(dst, `,"notes":`, d.Notes)
	dst = appendList(dst, `,"reasons":`, d.Reasons)
	dst = appendOptional(dst, `,"salt":`, salt)
	if len(dst) == at {
		return append(dst, "{}"...)
	}
	dst[at] = '{'
	return append(dst, '}')
}
