-- What wrk is told by `cargo xtask rivals gateway`: posts the bytes of a file with the headers that are given
-- (wrk … URL -- FILE "name: value" …), or gets if the file is "-". Its last line is what it found, as JSON.

function init(args)
    if args[1] ~= "-" then
        local file = assert(io.open(args[1], "rb"))
        wrk.method = "POST"
        wrk.body = file:read("*a")
        file:close()
    end
    for at = 2, #args do
        local name, value = args[at]:match("^([^:]+): (.*)$")
        wrk.headers[name] = value
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format(
        '{"requests": %d, "duration_us": %d, "failed": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
        summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
