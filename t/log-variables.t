# The variables of the access log, for each way that a request can go; and the
# format in conf.example, which has no secret, number, text or key in it.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);

my $example = path(__FILE__)->dirname->child('../conf.example')->slurp;
my ($format) = $example =~ /^    (log_format\s+chatmaid\s.*?;)\n/ms or die 'conf.example has no format';

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;
my $secret   = webhook_secret;
my $sender   = 'chatmaid_sender +15550100001;';

# Beside the example's format, what it leaves out on purpose.
my $LOG = <<"END";
    $format
    log_format rest escape=json '{"request_id":"\$chatmaid_request_id","key":"\$chatmaid_idempotency_key","id":"\$chatmaid_webhook_message_id"}';
    access_log %DIR%/access.log all;
    access_log %DIR%/example.log chatmaid;
    access_log %DIR%/rest.log rest;
    chatmaid_webhook_secret_file %DIR%/webhook_secret;
    limit_req_zone \$server_port zone=one:1m rate=1r/m;
    limit_req_zone \$server_port zone=out:1m rate=1r/m;
    chatmaid_retries 0;
    chatmaid_account main;
END

my %place = (
    off      => 'chatmaid_idempotency off;',
    hasty    => 'chatmaid_idempotency_wait 0;',
    short    => 'chatmaid_timeout 1s;',
    retries  => 'chatmaid_retries 2;',
    mute     => 'chatmaid_scope messages:read;',
    denied   => 'deny all;',
    basic    => 'auth_basic far; auth_basic_user_file %DIR%/users;',
    small    => 'client_max_body_size 10;',
    limited  => 'limit_req zone=one;',
    page     => 'deny all; error_page 403 /page;',
    named    => 'deny all; error_page 403 @page;',
    moved    => 'rewrite ^ /page last;',
    shut     => 'return 503;',
    replaced => 'filter_probe 415;',
    led_away => 'filter_probe 415; error_page 415 /page;',
    dead     => '/.dead/',
    none     => '/.none/',
    out      => '/.out/',
);

sub location ($name) {
    my ($target, $more) = $place{$name} =~ m{^/} ? ($place{$name}, '') : ('/.chatmaid/', $place{$name});
    return "location ^~ /$name/ { chatmaid_gateway $target; $sender $more }\n";
}

sub gateway_of ($name, $http = '') {
    return nginx(name => $name, probe => 'filter', http => "$LOG $http", gateway => $sender,
        files   => {webhook_secret => $secret, users => "ann:{PLAIN}swordfish\n"},
        server  => join('', map { location($_) } sort keys %place) . <<"END",
        location = /page   { return 200 "a page"; }
        location \@page    { return 200 "a page"; }
        location ^~ /.dead/ { proxy_pass https://127.0.0.1:%PORT:nobody%/; %PROXY% }
        location ^~ /.none/ { proxy_pass https://chatmaid_api/; %PROXY% rewrite ^ /nothing last; }
        location ^~ /.out/  { proxy_pass https://chatmaid_api/; %PROXY% limit_req zone=out; }
        location = /includes { ssi on; default_type text/html; return 200 '<!--# include virtual="/chatmaid/account" -->'; }
        location = /hook   { chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; }
        location = /broken { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT:nobody%; }
END
        servers => <<"END");
    server {
        listen 127.0.0.1:%PORT:h2% http2;
        location ^~ /chatmaid/ { chatmaid_gateway /.chatmaid/; $sender }
        location ^~ /.chatmaid/ { proxy_pass https://chatmaid_api/; %PROXY% }
    }
END
}

# The line of a case in one of the logs.
sub line ($nginx, $log, $case) {
    return wait_for(sub { slurp($nginx->dir . "/$log.log") =~ /^(.*"request_id":"\Q$case\E".*)$/m && decode_json($1) }, "the line of $case");
}

my @ALWAYS = qw(time client method request_time);
my @FIELDS = qw(route status account code outcome idempotency message_id store attempts upstream_status webhook event);
my %seen_id;

# What both logs say of a case.  What is not named is empty; the id of a message
# is one that there is, and a store's time goes with a store.
sub logs ($nginx, $case, %want) {
    my $line  = line($nginx, 'example', $case);
    my $asked = delete $want{asked} // length($want{store} // '');
    my $id    = delete $want{id} // '';
    my $key   = delete $want{key} // '';

    $want{account} //= 'main';
    $want{$_} //= '' for @FIELDS;
    $want{status}     = $line->{status} if ref $want{status} && $line->{status} =~ $want{status};
    $want{message_id} = $line->{message_id} if $want{message_id} && $line->{message_id} =~ /\Amsg_\w+\z/;

    is_deeply({map { $_ => $line->{$_} } @FIELDS}, \%want, "$case: its line");
    like($line->{store_time}, $asked ? qr/\A\d+\.\d{3}\z/ : qr/\A\z/, "$case: the store's time");
    is(scalar(() = $line->{upstream} =~ /127\.0\.0\.1:\d+/g), scalar(() = $want{upstream_status} =~ /\d+/g), "$case: an address for each try");
    unlike("@$line{qw(upstream upstream_status upstream_time)}", qr/ : /, "$case: no colon between tries");
    is_deeply({%{line($nginx, 'rest', $case)}}, {request_id => $case, key => $key, id => $id}, "$case: the rest");
    $seen_id{$case} = $line->{message_id};
    return $line;
}

sub id ($case) { ('X-Request-Id' => $case) }
sub send_at ($place, $case, $m, @headers) { post(url("/$place/send"), $m, id($case), @headers) }
sub sends_later ($place, $case, $m, @headers) { later(POST => url("/$place/send"), $m, id($case), @headers) }
sub keyed ($key) { ('Idempotency-Key' => $key) }

# A send whose caller hangs up as soon as it has sent it.
sub leaves ($case) {
    my $body = encode_json(message);
    raw("POST /chatmaid/send HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nX-Request-Id: $case\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body", abort => 'reset');
}

my %sent  = (route => 'send', status => 201, idempotency => 'new', message_id => 1, store => 'zone', attempts => 1, upstream_status => 201);
my %tried = (%sent, message_id => '');

# The cases that a send has with any store.
sub sends ($nginx, $store) {
    my %sent  = (%sent, store => $store);
    my %tried = (%tried, store => $store);
    my $m     = message;

    is(send_at('chatmaid', 'keyless', message)->{status}, 201, 'a send without a key');
    logs($nginx, 'keyless', %sent);

    is(send_at('chatmaid', 'new', $m, keyed('op-secret-1'))->{status}, 201, 'a send');
    logs($nginx, 'new', %sent, key => 'op-secret-1');

    is(replayed(send_at('chatmaid', 'replay', $m, keyed('op-secret-1'))), 'replayed', 'a replay');
    logs($nginx, 'replay', %sent, idempotency => 'replayed', attempts => 0, upstream_status => '', key => 'op-secret-1');
    is($seen_id{replay}, $seen_id{new}, 'of the same message');

    is(told(send_at('chatmaid', 'reuse', message, keyed('op-secret-1'))), '422 idempotency_key_reused unknown', 'a key used before');
    logs($nginx, 'reuse', %tried, status => 422, code => 'idempotency_key_reused', outcome => 'unknown', idempotency => 'reused',
        attempts => 0, upstream_status => '', key => 'op-secret-1');

    $m = message;
    $api->fault(no_answer('after'));
    is(told(send_at('chatmaid', 'lost', $m, keyed('op-secret-2'))), '502 upstream_error unknown', 'no answer');
    logs($nginx, 'lost', %tried, status => 502, code => 'upstream_error', outcome => 'unknown', upstream_status => 502, key => 'op-secret-2');

    is(send_at('chatmaid', 'recover', $m, keyed('op-secret-2'))->{status}, 201, 'taken over');
    logs($nginx, 'recover', %sent, idempotency => 'recovered', key => 'op-secret-2');

    $m = message;
    $api->fault({hold => 'before', match => {request_id => 'first'}});
    my $first = sends_later('chatmaid', 'first', $m, keyed('op-secret-3'));
    $api->wait_held;
    is(told(send_at('hasty', 'busy', $m, keyed('op-secret-3'))), '409 idempotency_in_flight unknown', 'in flight');
    logs($nginx, 'busy', %tried, status => 409, code => 'idempotency_in_flight', outcome => 'unknown', idempotency => 'in_flight',
        store => 'zone', attempts => 0, upstream_status => '', key => 'op-secret-3');

    is(told(send_at('short', 'tired', $m, keyed('op-secret-3'))), '504 upstream_timeout unknown', 'its time is over while it waits');
    logs($nginx, 'tired', %tried, status => 504, code => 'upstream_timeout', outcome => 'unknown', idempotency => 'in_flight',
        store => 'zone', attempts => 0, upstream_status => '', key => 'op-secret-3');

    my $second = sends_later('chatmaid', 'second', $m, keyed('op-secret-3'));
    $api->release;
    is($_->result->{status}, 201, 'both are answered') for $first, $second;
    logs($nginx, 'first', %sent, key => 'op-secret-3');
    logs($nginx, 'second', %sent, idempotency => 'replayed', attempts => 0, upstream_status => '', key => 'op-secret-3');

    # The caller's words are those of its answer, not of what came later.
    $api->fault({hold => 'before', match => {request_id => 'late'}});
    is(told(send_at('short', 'late', message, keyed('op-secret-4'))), '504 upstream_timeout unknown', 'at the deadline');
    $api->release;
    logs($nginx, 'late', %sent, status => 504, code => 'upstream_timeout', outcome => 'unknown', key => 'op-secret-4');

    # it may not be known before the answer is written
    $api->fault({hold => 'before', match => {request_id => 'left'}}, {hold => 'before', status => 422, json => {message => ['no']}, match => {request_id => 'bad'}});
    leaves($_) for qw(left bad);
    $api->wait_held(2);
    $api->release;
    logs($nginx, 'left', %sent, status => qr/201|499/);
    logs($nginx, 'bad', %tried, status => qr/422|499/, code => 'invalid_request', outcome => 'not_sent', upstream_status => 422);
}

my $nginx = gateway_of('nginx');

subtest 'sends, in the zone' => sub { sends($nginx, 'zone') };

subtest 'sends without records, and those that come to nothing' => sub {
    is(send_at('off', 'off', message, keyed('op-secret-5'))->{status}, 201, 'no records');
    logs($nginx, 'off', %sent, idempotency => 'off', store => '', key => 'op-secret-5');

    is(told(post('/send', '{', id('json'), keyed('op-secret-6'))), '400 invalid_json not_sent', 'no JSON');
    my %refused = (%tried, idempotency => '', store => '', attempts => 0, upstream_status => '', outcome => 'not_sent');
    logs($nginx, 'json', %refused, status => 400, code => 'invalid_json', key => 'op-secret-6');
    is(told(post('/send', message, id('key'), keyed('a b'))), '400 invalid_idempotency_key not_sent', 'no key');
    logs($nginx, 'key', %refused, status => 400, code => 'invalid_idempotency_key');

    # before the body has been read
    %refused = (%refused, attempts => '');
    is(told(post('/send', message, id('type'), 'Content-Type' => 'text/plain')), '415 unsupported_media_type not_sent', 'no JSON by its type');
    logs($nginx, 'type', %refused, status => 415, code => 'unsupported_media_type');
    is(told(send_at('mute', 'scope', message)), '403 scope_denied not_sent', 'not allowed');
    logs($nginx, 'scope', %refused, status => 403, code => 'scope_denied');
    is(told(get('/send', id('method'))), '405 method_not_allowed', 'not the method');
    logs($nginx, 'method', %refused, status => 405, code => 'method_not_allowed', outcome => '');

    # the call itself
    is(told(send_at('dead', 'dead', message)), '502 upstream_error not_sent', 'a dead port');
    logs($nginx, 'dead', %tried, status => 502, code => 'upstream_error', outcome => 'not_sent', upstream_status => 502);
    is(told(send_at('none', 'none', message)), '502 upstream_error not_sent', 'a call that goes astray');
    logs($nginx, 'none', %tried, status => 502, code => 'upstream_error', outcome => 'not_sent', upstream_status => '');
    is(send_at('out', 'out-1', message)->{status}, 201, 'within the limit of calls');
    is(told(send_at('out', 'out-2', message)), '503 unavailable not_sent', 'beyond it');
    logs($nginx, 'out-2', %tried, status => 503, code => 'unavailable', outcome => 'not_sent', upstream_status => '');

    $api->fault({status => 503, json => {}, times => 2, match => {request_id => 'tries'}});
    is(send_at('retries', 'tries', message)->{status}, 201, 'at the third try');
    logs($nginx, 'tries', %sent, attempts => 3, upstream_status => '503, 503, 201');
    $api->fault({status => 503, json => {}, times => 3, match => {request_id => 'vain'}});
    is(told(send_at('retries', 'vain', message)), '502 upstream_error unknown', 'in vain');
    logs($nginx, 'vain', %tried, status => 502, code => 'upstream_error', outcome => 'unknown', attempts => 3, upstream_status => '503, 503, 503');
    $api->fault({close => 'before', match => {request_id => 'kept'}});
    is(send_at('retries', 'kept', message)->{status}, 201, 'a kept connection was closed');
    like(logs($nginx, 'kept', %sent, attempts => 1, upstream_status => '502, 201')->{upstream_time}, qr/\A[\d.]+, [\d.]+\z/, 'which is no try');
};

subtest 'what nginx itself refuses' => sub {
    my %refused = (route => 'send', outcome => 'not_sent');
    is(told(send_at('denied', 'deny', message)), '403 forbidden not_sent', 'deny');
    logs($nginx, 'deny', %refused, status => 403, code => 'forbidden');
    is(told(send_at('basic', 'basic', message)), '401 unauthorized not_sent', 'auth_basic');
    logs($nginx, 'basic', %refused, status => 401, code => 'unauthorized');
    is(told(send_at('small', 'large', message)), '413 body_too_large not_sent', 'a large body');
    logs($nginx, 'large', %refused, status => 413, code => 'body_too_large');
    is(raw("POST /small/send HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nX-Request-Id: chunks\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n20\r\n" . 'x' x 32 . "\r\n0\r\n\r\n")->{status}, 413, 'in chunks');
    logs($nginx, 'chunks', %refused, status => 413, code => 'body_too_large', attempts => 0);
    is(get(url('/limited/account'), id('limit-1'))->{status}, 200, 'within the limit');
    is(told(send_at('limited', 'limit-2', message)), '503 unavailable unknown', 'limit_req');
    logs($nginx, 'limit-2', %refused, status => 503, code => 'unavailable', outcome => 'unknown');
    is(told(send_at('shut', 'shut', message)), '503 unavailable unknown', 'return');
    logs($nginx, 'shut', %refused, status => 503, code => 'unavailable', outcome => 'unknown');
    is(told(post(url('/denied/v1/messages/send'), native_message, id('native-deny'))), '403', 'on the native face');
    logs($nginx, 'native-deny', %refused, status => 403, code => 'forbidden');
    my %path = ('/phones/%2B15550100001/status' => 'phone_status', '/messages/msg_1' => 'message', '/messages/inbound' => 'inbound_messages',
        '/v1/phone-numbers' => 'phones', '/v1/account/usage' => 'account_usage', '/a/b/c/d/e' => 'other', '/' => 'other');
    for my $path (sort keys %path) {
        my $case = 'deny-' . ($path =~ tr{a-zA-Z}{-}cr);
        is(get(url("/denied$path"), id($case))->{status}, 403, "denied$path");
        logs($nginx, $case, route => $path{$path}, status => 403, code => 'forbidden');
    }

    # an error_page of the operator's: the answer has no code
    for my $place (qw(page named)) {
        is(send_at($place, $place, message)->{body}, 'a page', $place);
        logs($nginx, $place, route => 'send', status => 403);
    }
    # a filter that puts nginx's own answer in the place of ours
    is(told(send_at('replaced', 'replaced', message)), '415 unsupported_media_type unknown', 'replaced');
    logs($nginx, 'replaced', %sent, status => 415, code => 'unsupported_media_type', outcome => 'unknown');
    is(send_at('led_away', 'led_away', message)->{body}, 'a page', 'replaced by a page');
    logs($nginx, 'led_away', %sent, status => 415);

    is(send_at('moved', 'moved', message)->{body}, 'a page', 'rewritten');
    my $before = slurp($nginx->dir . '/example.log');
    unlike($before, qr/"request_id":"moved"/, 'no request of the gateway');
};

subtest 'reads' => sub {
    my $id   = $seen_id{new};
    my %read = (status => 200, attempts => 1, upstream_status => 200);
    my @read = (
        ['messages', '/messages', 'messages'], ['inbound', '/messages/inbound', 'inbound_messages'], ['phones', '/phones', 'phones'],
        ['groups', '/groups', 'groups'], ['account', '/account', 'account'], ['usage', '/account/usage', 'account_usage'],
        ['native-list', '/v1/messages', 'messages'], ['native-phones', '/v1/phone-numbers', 'phones'],
    );
    for my $read (@read) {
        my ($case, $path, $route) = @$read;
        is(get($path, id($case))->{status}, 200, $path);
        logs($nginx, $case, %read, route => $route);
    }
    %read = (%read, route => 'message', message_id => 1);
    is(get("/messages/$id", id('one'))->{status}, 200, 'a message');
    logs($nginx, 'one', %read);
    is(get("/v1/messages/$id", id('native-one'))->{status}, 200, 'on the native face');
    logs($nginx, 'native-one', %read);
    is(request(HEAD => "/messages/$id", undef, id('head'))->{status}, 200, 'HEAD');
    logs($nginx, 'head', %read);
    is($seen_id{$_}, $id, "$_: its id") for qw(one native-one head);

    # what calls nobody
    is(get('/health', id('health'))->{status}, 200, 'health');
    logs($nginx, 'health', route => 'health', status => 200);
    is(get('/operations/op-secret-1', id('operation'))->{status}, 200, 'an operation');
    logs($nginx, 'operation', route => 'operation', status => 200, store => 'zone');
    is(get('/operations/op-secret-none', id('operation-none'))->{status}, 404, 'none');
    logs($nginx, 'operation-none', route => 'operation', status => 404, store => 'zone', code => 'not_found');

    # a caller may write anything into a path
    my %none = (%read, message_id => '', status => 404, code => 'not_found', upstream_status => 404);
    is(told(get('/messages/+15550100099', id('unknown'))), '404 not_found', 'an unknown message');
    logs($nginx, 'unknown', %none);
    is(get('/v1/messages/+15550100099', id('native-unknown'))->{status}, 404, 'on the native face');
    logs($nginx, 'native-unknown', %none);
    is(told(get('/nothing/+15550100099', id('nothing'))), '404 not_found', 'no endpoint');
    logs($nginx, 'nothing', route => 'other', status => 404, code => 'not_found');
    is(told(get('/messages/send', id('base'))), '404 not_found', 'no message of that name');
    logs($nginx, 'base', %none);
    is(told(get('/messages/a%2Fb', id('slash'))), '400 invalid_request', 'a dangerous path');
    logs($nginx, 'slash', route => 'other', status => 400, code => 'invalid_request');

    is(get("/messages/$id?wait=1&until=read", id('wait'))->{headers}{'chatmaid-wait'}, 'timeout', 'a wait that is over');
    my $line = line($nginx, 'example', 'wait');
    is_deeply([@$line{qw(route status message_id code)}], ['message', 200, $id, ''], 'its line');
    is($line->{attempts}, scalar(() = $line->{upstream_status} =~ /200/g), 'with all its calls');
    is(get("/messages/$id?wait=60&until=sent", id('waited'))->{status}, 200, 'one that is answered');
    logs($nginx, 'waited', %read);
    is(told(get('/messages/msg_none?wait=60', id('wait-none'))), '404 not_found', 'no such message');
    logs($nginx, 'wait-none', %none);
    is(told(get("/messages/$id?wait=x", id('wait-x'))), '400 invalid_request', 'no number');
    logs($nginx, 'wait-x', route => 'message', status => 400, code => 'invalid_request');

    is(post('/send?wait=1&until=read', message, id('send-wait'))->{headers}{'chatmaid-wait'}, 'timeout', 'a send that waits');
    $line = line($nginx, 'example', 'send-wait');
    like($line->{message_id}, qr/\Amsg_\w+\z/, 'its message');
    is_deeply([@$line{qw(route status idempotency code)}], ['send', 201, 'new', ''], 'its line');
    is($line->{attempts}, scalar(() = $line->{upstream_status} =~ /\d+/g), 'with all its calls');

    is(get(url('/includes'), id('ssi'))->{status}, 200, 'a page that includes an answer');
    is(get(url('/page'), id('elsewhere'))->{status}, 200, 'a page of its own');
    for my $case (qw(ssi elsewhere)) {
        unlike(slurp($nginx->dir . '/example.log'), qr/"request_id":"$case"/, "$case: no request of the gateway");
    }
};

subtest 'both faces, HTTP/2' => sub {
    is(post('/v1/messages/send', native_message, id('native'), keyed('op-secret-7'))->{status}, 201, 'a send on the native face');
    logs($nginx, 'native', %sent, key => 'op-secret-7');
    is(post('/v1/messages/send', {to => 7}, id('native-bad'))->{status}, 400, 'a bad one');
    logs($nginx, 'native-bad', %tried, status => 400, code => 'invalid_request', outcome => 'not_sent', idempotency => '', store => '',
        attempts => 0, upstream_status => '');

    my $h2 = connect_h2($nginx->port('h2'));
    my ($id, $head) = opened($h2, POST => '/chatmaid/send', 0, ['x-request-id', 'h2'], ['idempotency-key', 'op-secret-8']);
    put($h2, $head);
    body($h2, $id, encode_json(message));
    is(answer($h2, $id)->{status}, 201, 'a send over HTTP/2');
    logs($nginx, 'h2', %sent, key => 'op-secret-8');
    $api->fault({hold => 'before', match => {request_id => 'h2-left'}});
    ($id, $head) = opened($h2, POST => '/chatmaid/send', 0, ['x-request-id', 'h2-left']);
    put($h2, $head);
    body($h2, $id, encode_json(message));
    $api->wait_held;
    put($h2, reset_($id));
    is((raw($nginx->port, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"))->{status}, 200, 'meanwhile');
    $api->release;
    logs($nginx, 'h2-left', %sent, status => 499);
    drop($h2, 'close');
};

subtest 'webhooks' => sub {
    my %hook = (route => '', store => 'zone', webhook => 'verified', event => 'message.sent', id => 'msg_hook', status => 200, upstream_status => 200);
    my $body = event('message.sent', {messageId => 'msg_hook'});
    my $at   = sub ($path, $body, $case, @more) { post(url($path), $body, id($case), signed($body), @more) };
    is($at->('/hook', $body, 'hook')->{status}, 200, 'an event');
    logs($nginx, 'hook', %hook);
    is($at->('/hook', $body, 'again')->{status}, 200, 'again');
    logs($nginx, 'again', %hook, webhook => 'duplicate', upstream_status => '');
    is(code($at->('/hook', $body, 'forged', 'X-Chatmaid-Signature' => sign('another'))), '401 signature_mismatch', 'forged');
    logs($nginx, 'forged', route => '', status => 401, code => 'signature_mismatch', webhook => 'signature_mismatch');
    $body = event('message.sent', {messageId => 'msg_broken'});
    is($at->('/broken', $body, 'broken')->{status}, 502, 'without a receiver');
    logs($nginx, 'broken', %hook, id => 'msg_broken', status => 502, code => 'upstream_error', upstream_status => 502);
};

# A store that answers late, or not at all.
subtest 'sends, in Redis' => sub {
    my $at = $redis->url;
    my $shared = gateway_of('shared', "chatmaid_redis $at timeout=30s;");
    sends($shared, 'redis');

    my %gateway = map { $_ => gateway_of("with_$_", "chatmaid_redis $at timeout=300ms fallback=$_;") } qw(zone reject);
    $gateway{$_}->post('/send', message) for qw(zone reject);
    $redis->kill('STOP');
    is($gateway{zone}->post('/send', message, id('alone'))->{status}, 201, 'Redis hangs: with the zone alone');
    cmp_ok(logs($gateway{zone}, 'alone', %sent)->{store_time}, '>=', 0.3, 'a whole timeout was waited');
    is(told($gateway{reject}->post('/send', message, id('rejected'))), '503 store_unavailable unknown', 'refused');
    cmp_ok(logs($gateway{reject}, 'rejected', %tried, status => 503, code => 'store_unavailable', outcome => 'unknown', idempotency => '', store => '',
        asked => 1, attempts => 0, upstream_status => '')->{store_time}, '>=', 0.3, 'after the same time');
    $redis->kill('CONT');
};

# Each line of all nginxes is JSON, and none has what a caller said.
subtest 'no secret, number, text or key' => sub {
    my @lines = map { slurp($_) =~ /^.*$/mg } glob dir . '/*/example.log';
    cmp_ok(scalar @lines, '>', 80, 'many lines');
    is_deeply([grep { !eval { decode_json($_) } } @lines], [], 'each is JSON');
    is_deeply([grep { /155501000\d\d/ } @lines], [], 'no number');
    is_deeply([grep { /Message \d|Your table/ } @lines], [], 'no text');
    is_deeply([grep { /op-secret|auto-|sk_|whsec_/ } @lines], [], 'no key');
    is_deeply([grep { my $line = decode_json($_); grep { !length $line->{$_} } @ALWAYS } @lines], [], 'what is always there');
};

done;
