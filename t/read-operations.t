# GET operations/KEY: what has become of a send, by its operation key, in the zone
# and in Redis; and that it sends nothing.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::Date;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(url_escape);
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;

my $WHEN = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;

my %location = (
    reader => 'chatmaid_scope messages:read;',
    writer => 'chatmaid_scope messages:send;',
    ours   => 'chatmaid_idempotency_scope $http_x_team;',
    brief  => 'chatmaid_timeout 1s;',
    other  => 'chatmaid_account other;',
);

sub gateway_of ($name, $http = '', %more) {
    return nginx(name => $name, http => "chatmaid_retries 0; chatmaid_timeout 1h; $http", internal => 'proxy_read_timeout 1h;', gateway => 'chatmaid_sender +15550100001;',
        server => join("\n", map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; $location{$_} }" } sort keys %location), %more);
}

sub looked ($key, @headers) { get('/operations/' . url_escape($key, '^A-Za-z0-9'), @headers) }
sub looked_at ($nginx, $key) { $nginx->get('/operations/' . url_escape($key, '^A-Za-z0-9')) }
sub sent ($key, $m, @headers) { post('/send', $m, 'Idempotency-Key' => $key, @headers) }

# "200 done", "404 not_found".
sub state_of ($answer) {
    my %json = ref $answer->{json} eq 'HASH' ? %{$answer->{json}} : ();
    return join ' ', grep { defined } $answer->{status}, @json{qw(state code)};
}

# Nobody but the caller is to see it, and it is no older than its answer.
sub no_store ($answer, $name) { is($answer->{headers}{'cache-control'}, 'no-store', "$name: in no cache") }

sub cases ($where) {
    my $calls = $api->count;
    is(state_of(looked('never-sent')), '404 not_found', 'no record');
    no_store(looked('never-sent'), 'no record');
    is($api->count, $calls, 'nothing was asked of Chatmaid');

    subtest 'done' => sub {
        my $key    = key;
        my $before = time;
        my $answer = sent($key, message);
        my $seen   = looked($key);
        is(state_of($seen), '200 done', 'its state');
        is_deeply([sort keys %{$seen->{json}}], [qw(begunAt key message state)], 'its members');
        is($seen->{json}{key}, $key, 'its key');
        is(encode_json($seen->{json}{message}), encode_json($answer->{json}), 'its message, as the send answered');
        ok(index($seen->{body}, $answer->{body}) > 0, 'byte for byte');
        is($seen->{headers}{'content-type'}, 'application/json', 'its type');
        no_store($seen, 'done');
        like($seen->{json}{begunAt}, $WHEN, 'a time');
        my $begun = Mojo::Date->new($seen->{json}{begunAt})->epoch;
        ok($begun >= $before - 1 && $begun <= time + 1, 'when it began') or diag "$before $seen->{body}";
        my $head = request(HEAD => "/operations/$key");
        is_deeply([$head->{status}, $head->{headers}{'content-length'}], [200, length $seen->{body}], 'HEAD');
        is($head->{headers}{'idempotency-key'}, undef, 'it is no send');
    };

    subtest 'in flight, then done' => sub {
        my ($key, $m) = (key, message);
        $api->fault({hold => 'before'});
        my $pending = later(POST => '/send', $m, 'Idempotency-Key' => $key);
        $api->wait_held;
        my $seen = looked($key);
        is(state_of($seen), '200 in_flight', 'under way');
        is_deeply([sort keys %{$seen->{json}}], [qw(begunAt key state)], 'no message yet');
        $api->release;
        is($pending->result->{status}, 201, 'it goes on');
        is(state_of(looked($key)), '200 done', 'done');
    };

    subtest 'ambiguous, then done' => sub {
        my ($key, $m) = (key, message);
        $api->fault(no_answer('after'));
        is(told(sent($key, $m)), '502 upstream_error unknown', 'no answer');
        my $seen = looked($key);
        is(state_of($seen), '200 ambiguous', 'ambiguous');
        is_deeply([sort keys %{$seen->{json}}], [qw(begunAt key state)], 'no message');
        like($seen->{json}{begunAt}, $WHEN, 'when it began');
        is(sent($key, $m)->{status}, 201, 'taken over');
        is(state_of(looked($key)), '200 done', 'done');
        is(made($m), 1, 'one message');
    };

    subtest 'refused' => sub {
        my $key = key;
        $api->fault({status => 422, json => {message => ['no']}});
        is(told(sent($key, message)), '422 invalid_request not_sent', 'refused');
        is(state_of(looked($key)), '404 not_found', 'as if it had never been');
    };

    subtest 'keys of all kinds' => sub {
        my @keys = ('a/b', '/', 'a//b/', '%', '%41', 'a?b=c&d', 'a#b', '\\', 'a\\"b', '"quoted"', '~', '+', '...', 'a..b', '.a', 'send', 'x' x 255,
            join('', map { chr } 0x21 .. 0x7e));
        for my $key (@keys) {
            my $header = $key =~ /\A"/ ? '"' . $key =~ s/(["\\])/\\$1/gr . '"' : $key;
            my $answer = post('/send', message, 'Idempotency-Key' => $header);
            is($answer->{status}, 201, "$key: a send");
            my $seen = looked($key);
            is(state_of($seen), '200 done', "$key: found");
            is($seen->{json}{key}, $key, "$key: by its name");
            is($seen->{json}{message}{id}, $answer->{json}{id}, "$key: its message");
        }
        sent('plain-1', message);
        is(state_of(get('/operations/plain-1')), '200 done', 'without escapes');
        is(state_of(get('/operations/pl%61in%2d1?x=y')), '200 done', 'with some, and a query that means nothing');
    };

    subtest 'no keys' => sub {
        is(state_of(get('/operations/')), '404 not_found', 'none');
        is(state_of(get('/operations')), '404 not_found', 'not even a slash');
        is(state_of(looked('a b')), '400 invalid_idempotency_key', 'a space');
        is(state_of(looked("\xc3\xbc")), '400 invalid_idempotency_key', 'beyond ASCII');
        is(state_of(looked('x' x 256)), '400 invalid_idempotency_key', 'too long');
        is(state_of(looked($_)), '400 invalid_idempotency_key', "$_: a dot segment") for '.', 'a/./b', 'a/../b';
        is(state_of(get('/operations/a/b')), '404 not_found', 'a slash that is not encoded');
        is(state_of(get('/messages/a%2Fb')), '400 invalid_request', 'elsewhere it is refused as ever');
    };

    subtest 'sends without a key' => sub {
        my $answer = post('/send', message);
        my $auto   = $answer->{headers}{'idempotency-key'};
        like($auto, qr/\Aauto-[0-9a-f]{64}\z/, 'a key of ours');
        is(state_of(looked($auto)), '404 not_found', 'is not to be looked up');
        is(state_of(looked('auto-' . '0' x 64)), '404 not_found', 'nor any other');
        sent('auto-mine', message);
        is(state_of(looked('auto-mine')), '200 done', 'but one of the caller\'s is');
    };

    subtest 'who may' => sub {
        my $key = key;
        sent($key, message);
        is(state_of(get(url("/reader/operations/$key"))), '200 done', 'messages:read');
        is(state_of(get(url("/writer/operations/$key"))), '403 scope_denied', 'messages:send is not enough');
        is(state_of(get(url("/other/operations/$key"))), '404 not_found', 'another account');
        is(state_of(get(url("/ours/operations/$key"))), '403 scope_denied', 'a caller without a scope of its own');
        is(state_of(get(url("/ours/operations/$key"), 'X-Team' => 'a')), '404 not_found', 'another scope');
        my @of = map { my $team = $_; post(url('/ours/send'), message, 'Idempotency-Key' => "$key-x", 'X-Team' => $team)->{json}{id} } qw(a b);
        is_deeply([map { get(url("/ours/operations/$key-x"), 'X-Team' => $_)->{json}{message}{id} } qw(a b)], \@of, 'each sees its own');
        is(state_of(looked("$key-x")), '404 not_found', 'nobody else does');
    };

    subtest 'methods and faces' => sub {
        my $key = key;
        sent($key, message);
        for my $method (qw(POST PUT DELETE)) {
            my $answer = request($method => "/operations/$key");
            is(state_of($answer), '405 method_not_allowed', $method);
            is($answer->{headers}{allow}, 'GET, HEAD', "$method: what is");
        }
        my $native = get("/v1/operations/$key");
        is_deeply([$native->{status}, $native->{json}{success}, $native->{json}{statusCode}], [404, Mojo::JSON->false, 404], 'not on the native face');
        is(state_of(looked($key)), '200 done', 'it is still there');
    };

    return unless $where eq 'redis';
    subtest 'a record of Redis' => sub {
        my $key  = key;
        my $name = record_of($key);
        my %record = (version => 2, state => 'in_flight', fingerprint => 'a' x 64, begun => 1_785_000_000_123, owner => 'b' x 32, maybe => 0);
        my $write  = sub (%change) { $redis->cli('SET', $name, record_text(%record, %change)) };
        $write->(lease => 1_785_000_008_123);
        is(state_of(looked($key)), '200 ambiguous', 'in flight, but its lease is over');
        is(looked($key)->{json}{begunAt}, '2026-07-25T17:20:00.123Z', 'when it began');
        $write->(lease => 9_999_999_999_999);
        is(state_of(looked($key)), '200 in_flight', 'its lease runs');
        $write->(lease => 9_999_999_999_999, begun => 999_999_999_999_999);
        is(looked($key)->{json}{begunAt}, '9999-12-31T23:59:59.999Z', 'a time beyond all bounds');
        $write->(lease => 9_999_999_999_999, version => 3);
        is(state_of(looked($key)), '503 store_unavailable', 'of another version');
        $redis->cli('DEL', $name);
        is(state_of(looked($key)), '404 not_found', 'gone');
        my $odd = '2 done ' . 'a' x 64 . ' 1 200 {"data":[]}';
        $redis->cli('SET', $name, $odd);
        is(state_of(looked($key)), '503 store_unavailable', 'done, with something else than an answer');
        no_store(looked($key), 'refused');
        is(looked($key)->{headers}{'retry-after'}, 1, 'try again');
        is($redis->cli('GET', $name), $odd, 'and nothing was changed');
    };
}

subtest 'in the zone' => sub { gateway_of('zone'); cases('zone') };
subtest 'in Redis'    => sub { gateway_of('redis', 'chatmaid_redis ' . $redis->url . ' timeout=30s;'); cases('redis') };

# What another gateway has done is known by Redis alone, and Redis may be away.
subtest 'Redis away' => sub {
    my %gateway = map { $_ => gateway_of("away_$_", 'chatmaid_redis ' . $redis->url . " timeout=3s fallback=$_;", workers => 2) } qw(zone reject);
    my $other   = gateway_of('other', 'chatmaid_redis ' . $redis->url . ' timeout=30s;');
    my ($theirs, $done) = (key, key);
    is($other->post('/send', message, 'Idempotency-Key' => $theirs)->{status}, 201, 'a send at another gateway');
    is(state_of(looked_at($_, $theirs)), '200 done', 'is known at these') for @gateway{qw(zone reject)};
    is($gateway{zone}->post('/send', message, 'Idempotency-Key' => $done)->{status}, 201, 'a send here');
    is(state_of(looked_at($gateway{reject}, $done)), '200 done', 'is known at the other');

    my %flight = map { $_ => key } qw(zone reject);
    $api->fault(map { {hold => 'before', match => {request_id => "held-$_"}} } qw(zone reject));
    my @pending = map { $gateway{$_}->later(POST => '/send', message, 'Idempotency-Key' => $flight{$_}, 'X-Request-Id' => "held-$_") } qw(zone reject);
    $api->wait_held(2);

    $redis->kill('STOP');
    for my $fallback (qw(zone reject)) {
        my $nginx = $gateway{$fallback};
        is(state_of(looked_at($nginx, $flight{$fallback})), '200 in_flight', "$fallback: a send under way here");
        is(state_of(looked_at($nginx, $theirs)), '503 store_unavailable', "$fallback: one at another gateway");
        is(state_of(looked_at($nginx, 'never-sent')), '503 store_unavailable', "$fallback: one that nobody can know");
        no_store(looked_at($nginx, $theirs), $fallback);
    }
    my $m = message;
    is($gateway{zone}->post('/send', $m, 'Idempotency-Key' => 'alone')->{status}, 201, 'sent with the zone alone');
    is(state_of(looked_at($gateway{zone}, 'alone')), '200 done', 'which knows it');
    $redis->kill('CONT');
    $api->release;
    is($_->result->{status}, 201, 'those under way') for @pending;

    for my $key ('alone', values %flight) {
        ok(wait_for(sub { state_of(looked_at($other, $key)) eq '200 done' }, "Redis to be told of $key"), 'known everywhere');
    }
    ok(wait_for(sub { state_of(looked_at($gateway{reject}, 'never-sent')) eq '404 not_found' }, 'Redis to answer'), 'and nothing else');
    is(made($m), 1, 'one message');
};

done;
