# chatmaid_status: what is counted, by which names and labels, and that it is
# counted once, whatever way a request takes.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use List::Util qw(sum);
use Mojo::JSON qw(decode_json);

my @BUCKETS = qw(0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 25 60);
my @ROUTES  = qw(other send message messages inbound_message inbound_messages phone phone_status phones groups account account_usage operation health);

# Each metric, with the label values that are there from the start.
my %LABELS = (
    chatmaid_requests_total                => [],
    chatmaid_upstream_requests_total       => [outcome => qw(success client_error rate_limited server_error timeout connect_error invalid)],
    chatmaid_upstream_auth_failures_total  => undef,
    chatmaid_idempotency_records           => [state => qw(in_flight ambiguous done)],
    chatmaid_idempotency_total             => [result => qw(new recovered replayed in_flight reused off)],
    chatmaid_redis_commands_total          => [result => qw(ok error timeout)],
    chatmaid_redis_connected               => undef,
    chatmaid_webhooks_total                => [result => qw(verified duplicate missing_signature malformed_signature timestamp_out_of_tolerance
        signature_mismatch invalid_json invalid_event method_not_allowed body_too_large delivery_in_flight store_unavailable)],
    chatmaid_webhook_events_total          => [event => qw(message.sent message.delivered message.read message.failed message.received
        message.outgoing phone.connected phone.disconnected other)],
    chatmaid_zone_bytes                    => [state => qw(used free)],
    chatmaid_zone_evicted_total            => undef,
    chatmaid_build_info                    => [version => '0.1.0'],
    chatmaid_account_info                  => [],
    chatmaid_account_held_seconds          => [account => 'main'],
    chatmaid_stream_entries                => [],
    chatmaid_stream_lag                    => [],
    chatmaid_stream_oldest_seconds         => [],
    chatmaid_waiters                       => undef,
    chatmaid_polls_total                   => [result => qw(changed unchanged error)],
    chatmaid_retries_total                 => [reason => qw(rate_limited server_error timeout connect_error invalid)],
    chatmaid_config_load_time_seconds      => undef,
);
my %HISTOGRAMS = (
    chatmaid_request_duration_seconds  => [map { qq(route="$_") } @ROUTES],
    chatmaid_upstream_duration_seconds => [''],
    chatmaid_redis_duration_seconds    => [''],
    chatmaid_webhook_age_seconds       => [''],
);

my $api = sandbox;


subtest 'the text' => sub {
    my $before = time;
    nginx(server => $STATUS, gateway => 'chatmaid_sender +15550100001; chatmaid_account main;');
    my $answer = scrape;
    is($answer->{status}, 200, 'is there');
    is($answer->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'Prometheus knows it');
    is($answer->{headers}{'cache-control'}, 'no-store', 'nobody keeps it');
    is($answer->{headers}{'x-content-type-options'}, 'nosniff', 'or takes it for something else');
    is_deeply([promtool($answer->{body}, qw(check metrics))], [0, ''], 'promtool has nothing to say');

    my %type = $answer->{body} =~ /^# TYPE (\S+) (\S+)$/mg;
    is_deeply([sort keys %type], [sort keys %LABELS, keys %HISTOGRAMS], 'all metrics, and no other');
    is($type{$_}, 'histogram', "$_: its type")                   for sort keys %HISTOGRAMS;
    is($type{$_}, /_total$/ ? 'counter' : 'gauge', "$_: its type") for sort keys %LABELS;

    my $all = samples($answer->{body});
    my @want;
    for my $name (keys %LABELS) {
        my ($label, @values) = @{$LABELS{$name} // []};
        push @want, $LABELS{$name} ? map { qq($name\{$label="$_"}) } @values : $name;
    }
    for my $name (keys %HISTOGRAMS) {
        for my $label (@{$HISTOGRAMS{$name}}) {
            push @want, map { qq(${name}_bucket{) . join(',', $label || (), qq(le="$_")) . '}' } @BUCKETS, '+Inf';
            push @want, map { "${name}_$_" . ($label && "{$label}") } qw(sum count);
        }
    }
    my ($info) = grep { /^chatmaid_account_info/ } keys %$all;
    like($info, qr/^chatmaid_account_info\{account="main",environment="test",fingerprint="[0-9a-f]{8}"\}$/, 'the account, and its key');
    is_deeply([sort keys %$all], [sort @want, $info], 'all samples, and no other');

    my %not_zero = map { $_ => delete $all->{$_} } $info, 'chatmaid_build_info{version="0.1.0"}', 'chatmaid_config_load_time_seconds',
        map { qq(chatmaid_zone_bytes{state="$_"}) } qw(used free);
    is(join(' ', grep { $all->{$_} } sort keys %$all), '', 'nothing has been counted yet');
    is($not_zero{$info}, 1, 'info');
    is($not_zero{'chatmaid_build_info{version="0.1.0"}'}, 1, 'version');
    cmp_ok($not_zero{chatmaid_config_load_time_seconds}, '>=', int $before, 'the configuration was loaded');
    cmp_ok($not_zero{chatmaid_config_load_time_seconds}, '<=', time, 'before now');
    is($not_zero{'chatmaid_zone_bytes{state="used"}'} + $not_zero{'chatmaid_zone_bytes{state="free"}'}, 4 << 20, 'the zone');
    cmp_ok($not_zero{'chatmaid_zone_bytes{state="used"}'}, '<', 262144, 'of which little is used');
};

subtest 'formats and methods' => sub {
    my $text = scrape;
    my $url  = url('/status');

    for my $query ('format=json', 'format=js%6fn', 'a=b&format=json&format=prometheus') {
        my $answer = get("$url?$query");
        is($answer->{headers}{'content-type'}, 'application/json', "$query: JSON");
        is($answer->{headers}{'cache-control'}, 'no-store', "$query: nobody keeps it");
        my $json = decode_json($answer->{body});
        is_deeply([grep { /^chatmaid_/ } sort keys %$json], [sort keys %LABELS, keys %HISTOGRAMS], "$query: the same metrics");
        is_deeply($json->{chatmaid_zone_evicted_total}, [{value => 0}], "$query: a number");
        is_deeply($json->{chatmaid_upstream_requests_total}[0], {outcome => 'success', value => 0}, "$query: a number with a label");
        is_deeply($json->{chatmaid_redis_duration_seconds}, [{count => 0, sum => 0, buckets => {map { $_ => 0 } @BUCKETS, '+Inf'}}],
            "$query: a histogram");
    }
    is(get("$url?format=prometheus")->{headers}{'content-type'}, $text->{headers}{'content-type'}, 'text, asked for');
    is(get("$url?$_")->{status}, 400, "?$_ is unknown") for 'format=xml', 'format=', 'format=jsonp';

    my $head = request(HEAD => $url);
    is($head->{status}, 200, 'HEAD');
    is($head->{body}, '', 'without a body');
    is($head->{headers}{'content-length'}, length $text->{body}, 'of the same length');
    for my $method (qw(POST PUT DELETE)) {
        my $answer = request($method => $url, 'x');
        is($answer->{status}, 405, $method);
        is($answer->{headers}{allow}, 'GET, HEAD', "$method: what is allowed");
    }
};

subtest 'among other directives' => sub {
    my $nginx = nginx(server => <<'END', gateway => 'chatmaid_sender +15550100001;');
        location = /status  { chatmaid_status; }
        location = /denied  { chatmaid_status; deny all; }
        location = /if      { chatmaid_status; if ($arg_x) { add_header X-If yes; } limit_except GET { deny all; } }
        location = /zipped  { chatmaid_status; gzip on; gzip_types text/plain; gzip_min_length 1; charset koi8-r; }
        location /nested    { chatmaid_status; location /nested/more { return 204; } }
END
    is(get(url('/denied'))->{status}, 403, 'deny');
    my $answer = get(url('/if?x=1'));
    is_deeply([$answer->{status}, $answer->{headers}{'x-if'}], [200, 'yes'], 'if');
    like($answer->{body}, qr/^chatmaid_build_info/m, 'has the page too');
    is(post(url('/if'), {})->{status}, 403, 'limit_except');
    is(get(url('/nested/more'))->{status}, 204, 'a location in it is none');
    my $zipped = get(url('/zipped'), 'Accept-Encoding' => 'gzip');
    is($zipped->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'its charset stays');

    my @refused = (
        ['proxy_pass http://127.0.0.1:1; chatmaid_status;', qr/"chatmaid_status" shares the location "\/x\/" with another content handler/],
        ['chatmaid_status; proxy_pass http://127.0.0.1:1;', qr/"chatmaid_status" shares the location "\/x\/" with another content handler/],
        ['chatmaid_status; chatmaid_gateway /.chatmaid/;', qr/"chatmaid_gateway" shares the location "\/x\/" with another content handler/],
        ['chatmaid_gateway /.chatmaid/; chatmaid_status;', qr/"chatmaid_status" shares the location "\/x\/" with another content handler/],
        ['chatmaid_status; if ($arg_x) { proxy_pass http://127.0.0.1:1; }', qr/"chatmaid_status" shares the location/],
        ['chatmaid_status; chatmaid_status;', qr/"chatmaid_status" directive is duplicate/],
        ['chatmaid_status on;', qr/invalid number of arguments in "chatmaid_status" directive/],
    );
    for my $case (@refused) {
        my ($code, $said) = nginx_t(server => "location /x/ { $case->[0] }");
        is($code, 1, "$case->[0]: refused");
        like($said, $case->[1], "$case->[0]: why");
    }
    is((nginx_t(http => 'chatmaid_status;'))[0], 1, 'in a location alone');

    my $alone = nginx(name => 'alone', conf => <<'END');
%HEAD%
http { %HTTP% server { listen 127.0.0.1:%PORT%; location = /status { chatmaid_status; } } }
END
    is(metric('chatmaid_build_info{version="0.1.0"}', $alone), 1, 'without a gateway');
};


# --- What is counted ---------------------------------------------------------

sub sends_with ($status) { qq(chatmaid_requests_total{route="send",status="$status"}) }

my $nginx = nginx(workers => 2, http => <<'END', server => <<'END2', gateway => <<'END3');
    chatmaid_retries 1; chatmaid_idempotency_wait 0;
END
    location = /status { chatmaid_status; }
    location = /moved  { internal; return 418; }
    location @named    { return 403 named; }
    location ^~ /denied/ { chatmaid_gateway /.chatmaid/; deny all; }
    location ^~ /paged/  { chatmaid_gateway /.chatmaid/; deny all; error_page 403 /moved; }
    location ^~ /named/  { chatmaid_gateway /.chatmaid/; chatmaid_scope messages:read; error_page 403 = @named; proxy_intercept_errors on; }
    location ^~ /off/    { chatmaid_gateway /.chatmaid/; chatmaid_idempotency off; chatmaid_sender +15550100001; }
    location ^~ /small/  { chatmaid_gateway /.chatmaid/; client_max_body_size 10; }
    location ^~ /rewritten/ { rewrite ^/rewritten/(.*)$ /chatmaid/$1 last; }
END2
    chatmaid_sender +15550100001;
END3

subtest 'sends' => sub {
    my ($m, $key) = (message, key);
    counts 'a send', sub { post('/send', $m, 'Idempotency-Key' => $key) }, 'send 201' => 1, tries('success'), records('new');
    counts 'a replay', sub { post('/send', $m, 'Idempotency-Key' => $key) }, 'send 201' => 1, records('replayed');
    counts 'another message', sub { post('/send', message, 'Idempotency-Key' => $key) }, 'send 422' => 1, records('reused');
    counts 'the native face', sub { post('/v1/messages/send', native_message) }, 'send 201' => 1, tries('success'), records('new');
    counts 'without records', sub { post(url('/off/send'), message) }, 'send 201' => 1, tries('success'), records('off');
    counts 'no JSON', sub { post('/send', '{') }, 'send 400' => 1;
    counts 'another method', sub { get('/send') }, 'send 405' => 1;
    counts 'rewritten', sub { post(url('/rewritten/send'), message) }, 'send 201' => 1, tries('success'), records('new');

    counts 'in flight', sub {
        my $held = $api->held;
        my $twin = key;
        $api->fault({hold => 'before'});
        my $first = later(POST => '/send', $m, 'Idempotency-Key' => $twin);
        $api->wait_held($held + 1);
        post('/send', $m, 'Idempotency-Key' => $twin);
        is(metric('chatmaid_idempotency_records{state="in_flight"}'), 1, 'one record is in flight');
        $api->release;
        $first->result;
    }, 'send 201' => 1, 'send 409' => 1, tries('success'), records('new'), records('in_flight');

    # its status depends on whether nginx sees it before the answer
    my $sends = sub { my $all = metrics; sum(map { $all->{sends_with($_)} // 0 } 201, 499) };
    my ($before, $held) = ($sends->(), scalar $api->held);
    $api->fault({hold => 'before'});
    my $gone = later(POST => '/send', message);
    $api->wait_held($held + 1);
    $gone->abort;
    $api->release;
    ok(wait_for(sub { $sends->() == $before + 1 }), 'its caller has gone');

    is(metric('chatmaid_idempotency_records{state="in_flight"}'), 0, 'none is in flight');
    cmp_ok(metric('chatmaid_idempotency_records{state="done"}'), '>=', 5, 'these are done');
};

subtest 'reads' => sub {
    my $id = post('/send', message)->{json}{id};
    counted('chatmaid_idempotency_total{result="new"}', metric('chatmaid_idempotency_total{result="new"}'), 'a message');
    my %way = ('/account' => 'account', '/account/usage' => 'account_usage', '/phones' => 'phones', '/groups' => 'groups', "/messages/$id" => 'message',
        '/messages' => 'messages', '/v1/messages' => 'messages', "/v1/messages/$id" => 'message', '/messages/inbound' => 'inbound_messages');
    for my $path (sort keys %way) {
        counts $path, sub { get($path) }, "$way{$path} 200" => 1, tries('success');
    }
    counts 'HEAD', sub { request(HEAD => '/account') }, 'account 200' => 1, tries('success');
    counts 'unknown to Chatmaid', sub { get('/messages/msg_nobody') }, 'message 404' => 1, tries('client_error');
    counts 'no endpoint', sub { get($_) for '/nothing', '/v1/nothing', '/messages/a/b/c', '/' }, 'other 404' => 4;
};


subtest "nginx's own refusals" => sub {
    counts 'deny', sub { post(url('/denied/send'), message) }, 'send 403' => 1;
    counts 'deny, on the native face', sub { get(url('/denied/v1/phone-numbers')) }, 'phones 403' => 1;
    counts 'an error_page elsewhere', sub { is(get(url('/paged/account'))->{status}, 418, 'its answer') }, 'account 418' => 1;
    counts 'a scope', sub { post(url('/named/send'), message) }, 'send 403' => 1;
    counts 'a body', sub { post(url('/small/send'), message) }, 'send 413' => 1;
    counts 'the page itself', sub { scrape };
};

subtest 'tries' => sub {
    my $one = sub { post('/send', message) };
    my $retry = sub ($reason) { (qq(chatmaid_retries_total{reason="$reason"}) => 1) };
    for my $case (['server_error', {status => 503}, 2, 502], ['invalid', no_answer('before'), 2, 502]) {
        my ($outcome, $fault, $times, $status) = @$case;
        $api->fault({%$fault, times => $times});
        counts $outcome, $one, "send $status" => 1, tries($outcome, $times), records('new'), $retry->($outcome);
    }
    $api->fault({status => 503});
    counts 'a second try', $one, 'send 201' => 1, tries('server_error'), $retry->('server_error'), records('new'),
        'chatmaid_upstream_requests_total{outcome="success"}' => 1, chatmaid_upstream_duration_seconds_count => 2;
    $api->fault({status => 500});
    counts 'no second one', $one, 'send 502' => 1, tries('server_error'), records('new');
    $api->fault({raw => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"});
    counts 'no message', $one, 'send 502' => 1, tries('invalid'), records('new');
    for my $status (401, 403) {
        $api->fault({status => $status});
        counts "the key is refused with $status", $one, 'send 502' => 1, tries('client_error'), records('new'), chatmaid_upstream_auth_failures_total => 1;
    }
    cmp_ok(metric('chatmaid_idempotency_records{state="ambiguous"}'), '>=', 1, 'some are ambiguous');
};

subtest 'a reload' => sub {
    my $before = metrics;
    delete @$before{grep { /_bytes|_time_seconds|_records/ } keys %$before};
    $nginx->reload;
    my $after = metrics;
    is_deeply({map { $_ => $after->{$_} } keys %$before}, $before, 'everything is still there');
    counts 'a send', sub { post('/send', message) }, 'send 201' => 1, tries('success'), records('new');

    $nginx->option->{http} .= ' chatmaid_zone other:1m;';
    $nginx->write;
    $nginx->reload;
    is(metric(sends_with(201)) // 0, 0, 'another zone begins anew');
};

subtest 'connections' => sub {
    my $gone = nginx(name => 'gone', api => undef, server => $STATUS, http => 'chatmaid_retries 1;',
        upstream => '-server; server 127.0.0.1:%PORT:nobody%;', gateway => 'chatmaid_sender +15550100001;');
    counts 'refused', sub { post('/send', message) }, 'send 502' => 1, tries('connect_error', 2), records('new'),
        'chatmaid_retries_total{reason="connect_error"}' => 1;

    my $slow = nginx(name => 'slow', server => $STATUS, http => 'chatmaid_retries 0;', internal => 'proxy_read_timeout 300ms;',
        gateway => 'chatmaid_sender +15550100001;');
    $api->fault({hold => 'before'});
    counts 'silent', sub { post('/send', message) }, 'send 504' => 1, tries('timeout'), records('new');
    $api->release;
};

subtest 'a 429' => sub {
    my $limited = nginx(name => 'limited', server => $STATUS, http => 'chatmaid_retries 0;', gateway => 'chatmaid_sender +15550100001; chatmaid_account slow;');
    $api->fault({status => 429, json => {success => \0, statusCode => 429, error => 'Too Many Requests', message => ['slower'], retryAfter => 40}});
    counts 'a limit', sub { post('/send', message) }, 'send 429' => 1, tries('rate_limited'), records('new');
    my $held = metric('chatmaid_account_held_seconds{account="slow"}');
    cmp_ok($held, '>', 0, 'the account is held back');
    cmp_ok($held, '<=', 40, 'for as long as Chatmaid said');
};

done;
