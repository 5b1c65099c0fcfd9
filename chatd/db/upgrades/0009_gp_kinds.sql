-- Rare kinds of GPs are found in wide cells without reading the others.

CREATE INDEX gps_kind_5 ON gps (cell_5, category, sub_type, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_kind_3 ON gps (cell_3, category, sub_type, member_count DESC, expires_at DESC) WHERE status = 'active';
