-- The peer of the comparison: the same work in nginx with lua-nginx-module.
--
--   send()      a send, recorded in Redis by its operation key, passed on to
--               Chatmaid, its answer kept; or a replay of what is kept
--   webhook()   the signature, whether the event is a repeat, then the receiver
--
-- It is written to be fast, and leaves out what costs it something and would not
-- show here: the owner of a record, leases, retries, the store's absence.

local cjson = require "cjson.safe"
local ffi   = require "ffi"

ffi.cdef [[
    const void *EVP_sha256(void);
    unsigned char *SHA256(const unsigned char *data, size_t len, unsigned char *out);
    unsigned char *HMAC(const void *md, const void *key, int key_len,
        const unsigned char *data, size_t len, unsigned char *out, unsigned int *out_len);
    int CRYPTO_memcmp(const void *a, const void *b, size_t len);
]]

local C       = ffi.C
local digest  = ffi.new "unsigned char[32]"
local sha256  = C.EVP_sha256()
local escapes = {}
for i = 0, 255 do escapes[i] = string.format("%02x", i) end

local DAY   = "86400000"         -- milliseconds
local LEASE = "30000"

local _M = { redis_port = nil, secret = nil, sender = nil }


local function hex()
    local out = {}
    for i = 0, 31 do out[i + 1] = escapes[digest[i]] end
    return table.concat(out)
end


local function hash(text)
    C.SHA256(text, #text, digest)
    return hex()
end


local function problem(status, code)
    ngx.status = status
    ngx.header.content_type = "application/problem+json"
    ngx.print(cjson.encode { status = status, code = code })
    return ngx.exit(status)
end


-- One command over a kept connection: a string, or nil where there is none.

local function redis(...)
    local args = { ... }
    local sock = ngx.socket.tcp()
    sock:settimeout(20000)
    assert(sock:connect("127.0.0.1", _M.redis_port, { pool = "redis", pool_size = 64 }))

    local out = { "*", #args, "\r\n" }
    for i = 1, #args do
        local n = #out
        out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = "$", #args[i], "\r\n", args[i], "\r\n"
    end
    assert(sock:send(out))

    local line = assert(sock:receive())
    local kind, reply = line:byte(1), nil
    if kind == 36 then                                  -- "$"
        local len = tonumber(line:sub(2))
        if len >= 0 then
            reply = assert(sock:receive(len + 2)):sub(1, len)
        end
    elseif kind == 45 then                              -- "-"
        error(line)
    end

    sock:setkeepalive(60000, 64)
    return reply
end


local function answer(key, body, replayed)
    local header = ngx.header
    ngx.status = 201
    header.content_type = "application/json"
    header.content_length = #body
    header["Idempotency-Key"] = key
    header["X-Request-Id"] = ngx.var.request_id
    if replayed then
        header["Idempotent-Replayed"] = "true"
    end
    ngx.print(body)
end


-- A record is its state ("f": in flight, "d": done), the message's hash, and the
-- answer.

function _M.send()
    ngx.req.read_body()

    local message = cjson.decode(ngx.req.get_body_data())
    if type(message) ~= "table" or type(message.to) ~= "string"
        or not message.to:find("^%+[1-9]%d+$")
        or (message.text == nil and message.media == nil)
    then
        return problem(400, "invalid_request")
    end

    local key = ngx.var.http_idempotency_key
    if not key or #key > 255 then
        return problem(400, "invalid_idempotency_key")
    end

    local name   = "peer:send:" .. hash(key)
    local print = hash(table.concat({ _M.sender, message.to, message.text or "",
                                       message.media and cjson.encode(message.media) or "" }, "\0"))
    local before = redis("SET", name, "f" .. print, "NX", "GET", "PX", DAY)

    if before then
        if before:sub(2, 65) ~= print then
            return problem(422, "idempotency_key_reused")
        elseif before:byte(1) ~= 100 then
            return problem(409, "idempotency_in_flight")
        end
        return answer(key, before:sub(66), true)
    end

    local res = ngx.location.capture("/peer-api/v1/messages/send", {
        method = ngx.HTTP_POST,
        body = cjson.encode {
            fromPhoneId = _M.sender, to = message.to, content = message.text,
            mediaUrls = message.media, idempotencyKey = "cm_" .. name:sub(11, 60),
        },
    })

    local told = res.status == 201 and cjson.decode(res.body)
    if not told or not told.success then
        return problem(502, "upstream_error")
    end

    local body = cjson.encode(told.data)
    redis("SET", name, "d" .. print .. body, "PX", DAY)
    return answer(key, body, false)
end


function _M.webhook()
    local time, given = (ngx.var.http_x_chatmaid_signature or ""):match("^t=(%d+),v1=(%x+)$")
    if not time or #given ~= 64 then
        return problem(400, "malformed_signature")
    elseif math.abs(ngx.time() - tonumber(time)) > 300 then
        return problem(400, "timestamp_out_of_tolerance")
    end

    ngx.req.read_body()
    local body   = ngx.req.get_body_data()
    local signed = time .. "." .. body
    C.HMAC(sha256, _M.secret, #_M.secret, signed, #signed, digest, nil)
    if C.CRYPTO_memcmp(hex(), given:lower(), 64) ~= 0 then
        return problem(401, "signature_mismatch")
    end

    local event = cjson.decode(body)
    if type(event) ~= "table" or type(event.event) ~= "string" then
        return problem(400, "invalid_event")
    end

    local name   = "peer:event:" .. hash(body)
    local before = redis("SET", name, "f", "NX", "GET", "PX", LEASE)
    if before == "d" then
        return ngx.exit(200)
    elseif before then
        return problem(503, "delivery_in_flight")
    end

    local res = ngx.location.capture("/peer-receiver", { method = ngx.HTTP_POST, always_forward_body = true })
    if res.status >= 200 and res.status < 300 then
        redis("SET", name, "d", "PX", DAY)
    else
        redis("DEL", name)
    end

    ngx.status = res.status
    ngx.header.content_type = res.header["Content-Type"]
    ngx.header.content_length = #res.body
    ngx.print(res.body)
end


return _M
