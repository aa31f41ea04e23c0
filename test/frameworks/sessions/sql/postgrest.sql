-- step: one
SELECT 1;
