package expr

import (
	"reflect"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/danvoulez/logline/internal/span"
)

// The objects of known members, as CEL sees them.
type (
	spanVal     struct{ header *span.Header }
	identityVal Identity
	tenantVal   Tenant
	approvalVal Approval
	supplierVal struct{ Supplier }
)

var (
	spanType     = types.NewObjectType("Span")
	identityType = types.NewObjectType("Identity")
	tenantType   = types.NewObjectType("Tenant")
	approvalType = types.NewObjectType("Approval")
	supplierType = types.NewOpaqueType("Supplier")
	spansType    = types.NewOpaqueType("Spans")
	dataType     = types.NewMapType(types.StringType, types.DynType)
	listOfText   = types.NewListType(types.StringType)
)

// field is one member of an object of known members. get gives nil where it is
// absent.
type field struct {
	name      string
	kind      *types.Type
	directory bool // from the directory: for texts alone
	get       func(obj any) ref.Val
}

// shapes are the members, by the name of the type.
var shapes = map[string][]field{
	"Span": {
		{name: "id", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.ID })},
		{name: "tenant", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Tenant })},
		{name: "author", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Author })},
		{name: "type", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Type })},
		{name: "title", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Title })},
		{name: "subject", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Subject })},
		{name: "tags", kind: listOfText, get: func(o any) ref.Val { return textList(o.(*spanVal).header.Tags) }},
		{name: "time", kind: types.TimestampType, get: ofSpanTime(func(h *span.Header) string { return h.Time })},
		{name: "occurred_at", kind: types.TimestampType, get: ofSpanTime(func(h *span.Header) string { return h.OccurredAt })},
		{name: "on_behalf_of", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.OnBehalfOf })},
		{name: "status", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Status })},
		{name: "visibility", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.Visibility })},
		{name: "causes", kind: listOfText, get: func(o any) ref.Val { return textList(o.(*spanVal).header.Causes) }},
		{name: "payload_hash", kind: types.StringType, get: ofSpan(func(h *span.Header) string { return h.PayloadHash })},
	},
	"Identity": {
		{name: "id", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*identityVal).ID) }},
		{name: "subject", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*identityVal).Subject) }},
		{name: "status", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*identityVal).Status) }},
		{name: "roles", kind: listOfText, get: func(o any) ref.Val { return textList(o.(*identityVal).Roles) }},
		{name: "trust", kind: types.DoubleType, get: func(o any) ref.Val { return types.Double(o.(*identityVal).Trust) }},
		{name: "last_positive_at", kind: types.TimestampType, get: func(o any) ref.Val { return instant(o.(*identityVal).LastPositiveAt) }},
		{name: "handle", kind: types.StringType, directory: true, get: func(o any) ref.Val { return text(o.(*identityVal).Handle) }},
		{name: "name", kind: types.StringType, directory: true, get: func(o any) ref.Val { return text(o.(*identityVal).Name) }},
	},
	"Tenant": {
		{name: "id", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*tenantVal).ID) }},
		{name: "slug", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*tenantVal).Slug) }},
		{name: "name", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*tenantVal).Name) }},
	},
	"Approval": {
		{name: "by", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*approvalVal).By) }},
		{name: "vote", kind: types.StringType, get: func(o any) ref.Val { return text(o.(*approvalVal).Vote) }},
		{name: "roles", kind: listOfText, get: func(o any) ref.Val { return textList(o.(*approvalVal).Roles) }},
		{name: "at", kind: types.TimestampType, get: func(o any) ref.Val { return instant(o.(*approvalVal).At) }},
		{name: "weight", kind: types.DoubleType, get: func(o any) ref.Val { return types.Double(o.(*approvalVal).Weight) }},
	},
}

func ofSpan(get func(*span.Header) string) func(any) ref.Val {
	return func(o any) ref.Val { return text(get(o.(*spanVal).header)) }
}

// ofSpanTime reads a time of a header, which the span's parser has checked.
func ofSpanTime(get func(*span.Header) string) func(any) ref.Val {
	return func(o any) ref.Val {
		t, err := time.Parse(time.RFC3339Nano, get(o.(*spanVal).header))
		if err != nil {
			return nil
		}
		return instant(t)
	}
}

func text(s string) ref.Val {
	if s == "" {
		return nil
	}
	return types.String(s)
}

func textList(items []string) ref.Val {
	out := make([]ref.Val, len(items))
	for i, s := range items {
		out[i] = types.String(s)
	}
	return newList(out)
}

func instant(t time.Time) ref.Val {
	if t.IsZero() {
		return nil
	}
	return types.Timestamp{Time: t.UTC()}
}

// provider tells CEL's checker and interpreter of the objects' members. No name
// stands for a type, and no object can be made.
type provider struct{}

var _ types.Provider = provider{}

func (provider) EnumValue(string) ref.Val         { return types.NewErr("no enumerations") }
func (provider) FindIdent(string) (ref.Val, bool) { return nil, false }
func (provider) NewValue(string, map[string]ref.Val) ref.Val {
	return types.NewErr("no objects of a type")
}

func (provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := shapes[name]; !ok {
		return nil, false
	}
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
}

func (provider) FindStructFieldNames(name string) ([]string, bool) {
	fields, ok := shapes[name]
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].name
	}
	return out, ok
}

func (provider) FindStructFieldType(name, member string) (*types.FieldType, bool) {
	f := findField(name, member)
	if f == nil {
		return nil, false
	}
	return &types.FieldType{
		Type:  f.kind,
		IsSet: func(o any) bool { return f.get(o) != nil },
		GetFrom: func(o any) (any, error) {
			if v := f.get(o); v != nil {
				return v, nil
			}
			return nil, &missingField{member}
		},
	}, true
}

func findField(shape, name string) *field {
	fields := shapes[shape]
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// missingField says that an object of known members has not this one.
type missingField struct{ name string }

func (e *missingField) Error() string { return "no such key: " + e.name }

// adapter makes CEL values of what CEL itself makes: our values are CEL's
// already.
type adapter struct{}

var _ types.Adapter = adapter{}

func (adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case ref.Val:
		return v
	case []ref.Val:
		return newList(v)
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

func (v *spanVal) Type() ref.Type     { return spanType }
func (v *identityVal) Type() ref.Type { return identityType }
func (v *tenantVal) Type() ref.Type   { return tenantType }
func (v *approvalVal) Type() ref.Type { return approvalType }
func (v *supplierVal) Type() ref.Type { return supplierType }

func (v *spanVal) Value() any     { return v }
func (v *identityVal) Value() any { return v }
func (v *tenantVal) Value() any   { return v }
func (v *approvalVal) Value() any { return v }
func (v *supplierVal) Value() any { return v }

// Objects of known members are equal when they are the same one: by their id.
func (v *spanVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(*spanVal)
	return types.Bool(ok && o.header.ID == v.header.ID)
}

func (v *identityVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(*identityVal)
	return types.Bool(ok && o.ID == v.ID)
}

func (v *tenantVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(*tenantVal)
	return types.Bool(ok && o.ID == v.ID)
}

func (v *approvalVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(*approvalVal)
	return types.Bool(ok && o.By == v.By && o.At.Equal(v.At))
}

func (v *supplierVal) Equal(ref.Val) ref.Val { return types.False }

func (v *spanVal) ConvertToType(ref.Type) ref.Val     { return noConversion() }
func (v *identityVal) ConvertToType(ref.Type) ref.Val { return noConversion() }
func (v *tenantVal) ConvertToType(ref.Type) ref.Val   { return noConversion() }
func (v *approvalVal) ConvertToType(ref.Type) ref.Val { return noConversion() }
func (v *supplierVal) ConvertToType(ref.Type) ref.Val { return noConversion() }

func noConversion() ref.Val { return types.NewErr("no such overload") }

func (v *spanVal) ConvertToNative(t reflect.Type) (any, error)     { return nil, noNative(v, t) }
func (v *identityVal) ConvertToNative(t reflect.Type) (any, error) { return nil, noNative(v, t) }
func (v *tenantVal) ConvertToNative(t reflect.Type) (any, error)   { return nil, noNative(v, t) }
func (v *approvalVal) ConvertToNative(t reflect.Type) (any, error) { return nil, noNative(v, t) }
func (v *supplierVal) ConvertToNative(t reflect.Type) (any, error) { return nil, noNative(v, t) }
