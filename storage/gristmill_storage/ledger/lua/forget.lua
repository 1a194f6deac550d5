-- Deletes all that is known of a job.
redis.call('DEL', unpack(every_key()))
return OK
