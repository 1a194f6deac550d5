-- Takes or renews the leadership of a job, known or not. It is free when its time is over, or lies so far ahead that the
-- server's clock must have been set back since.
-- ARGV: leader, ms. Answers OK, 1; or OK, 0 when another leads.
local leader, term = ARGV[1], tonumber(ARGV[2])
local until_ms, its_term, who = read_leader()
local left = who and until_ms - now or 0
if who ~= leader and left > 0 and left <= 2 * its_term then
  return { 'OK', 0 }
end
redis.call('SET', LEADER, table.concat({ now + term, term, leader }, ':'), 'PX', ARGV[2])
return { 'OK', 1 }
