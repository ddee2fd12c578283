-- What tenants may use and do use is theirs: row-level security, as for tasks (0012).

-- +goose Up

ALTER TABLE tenant_quotas  ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_storage ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota_marks    ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tenant_quotas  USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON tenant_storage USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));
CREATE POLICY tenant ON quota_marks    USING ((SELECT logline_tasks()) = '*' OR tenant = (SELECT logline_tasks()));

-- +goose Down

DROP POLICY tenant ON quota_marks;
DROP POLICY tenant ON tenant_storage;
DROP POLICY tenant ON tenant_quotas;
ALTER TABLE quota_marks    DISABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_storage DISABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_quotas  DISABLE ROW LEVEL SECURITY;
