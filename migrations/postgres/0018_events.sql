-- What timelines are to be told of tasks stands tenant by tenant: whoever tells
-- takes from each in turn, and passes over those where the teller is held without
-- looking at what waits there.

-- +goose Up

ALTER TABLE task_events DROP CONSTRAINT task_events_pkey;
ALTER TABLE task_events ADD PRIMARY KEY (tenant, at, origin, action, step);

-- +goose Down

ALTER TABLE task_events DROP CONSTRAINT task_events_pkey;
ALTER TABLE task_events ADD PRIMARY KEY (at, tenant, origin, action, step);
