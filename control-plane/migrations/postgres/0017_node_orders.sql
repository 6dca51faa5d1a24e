-- What operators said of voice nodes: a node without a line serves. The moment by which a node is to be empty is 0 for one that
-- only takes no new rooms.
CREATE TABLE node_orders (
    node        TEXT     PRIMARY KEY,
    is_draining SMALLINT NOT NULL,
    deadline    BIGINT   NOT NULL
);
