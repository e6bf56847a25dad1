# HTTP/3, where nginx has it, and a browser for a client: sends, reads and webhooks
# as over the other versions, callers that leave their stream, and a reload.

use Chatmaid::Test;
use Chatmaid::Test::Browser;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(encode_json from_json);

my $program = $ENV{NGINX} || 'nginx';
plan(skip_all => 'this nginx has no HTTP/3') if qx($program -V 2>&1) !~ /--with-http_v3_module/;

Chatmaid::Test::Browser::required();

my $receiver = receiver;
my $api      = sandbox;
my $nginx    = nginx(
    gateway => 'chatmaid_sender +15550100001; chatmaid_timeout 5m;',
    files   => {webhook_secret => webhook_secret},
    server  => <<"END");
        listen 127.0.0.1:%PORT:h3% quic;
        listen 127.0.0.1:%PORT:h3% ssl http2;
        ssl_certificate     %CRT:edge%;
        ssl_certificate_key %KEY:edge%;
        http3_max_concurrent_streams 200;
        client_body_buffer_size      1k;
        location ^~ /small/  { chatmaid_gateway /.chatmaid/; client_max_body_size 100; }
        location ^~ /brief/  { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_timeout 1s; chatmaid_retries 0; }
        location ^~ /denied/ { chatmaid_gateway /.chatmaid/; chatmaid_scope account:read; }
        location = /hooks    { chatmaid_webhook on; chatmaid_webhook_secret_file %DIR%/webhook_secret; proxy_pass http://127.0.0.1:@{[$receiver->port]}; }
        location = /page     { default_type text/html; return 200 "<title>page</title>"; }
        $STATUS
END

my $port = $nginx->port('h3');
my $base = "https://127.0.0.1:$port";


# --- The browser -------------------------------------------------------------

# It speaks HTTP/3 with that port from the beginning, and takes the certificate for
# its key.

my $crt = certificates->crt('edge');
chomp(my $spki = qx(openssl x509 -in $crt -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64));
my $browser = Chatmaid::Test::Browser->new(switches =>
    ["--origin-to-force-quic-on=127.0.0.1:$port", "--ignore-certificate-errors-spki-list=$spki"])->start;

# Each request is [method, path, body, {headers}].  What has begun is known by a
# number; its answer is what answers() of the last numbers gives.

sub begin (@requests) {
    return @{$browser->run(<<'END', map { [@$_[0, 1], ref $_->[2] ? encode_json($_->[2]) : $_->[2], $_->[3] // {}] } @requests)};
        window.all = window.all || [];
        return Array.from(arguments).map(([method, path, body, headers]) => {
            const abort = new AbortController();
            if (body !== null) headers['Content-Type'] = 'application/json';
            const answer = fetch(path, {method, body, headers, signal: abort.signal, cache: 'no-store'})
                .then(async r => ({status: r.status, headers: Object.fromEntries(r.headers), body: await r.text()}))
                .catch(error => ({status: 0, headers: {}, body: String(error)}));
            return window.all.push({abort, answer}) - 1;
        });
END
}

sub answers (@numbers) {
    my $answers = $browser->run('return Promise.all(Array.from(arguments).map(n => window.all[n].answer))', @numbers);
    return map { {%$_, json => scalar eval { from_json($_->{body}) }} } @$answers;
}

sub leave (@numbers) { $browser->run('for (const n of arguments) window.all[n].abort.abort()', @numbers) }

sub asked (@request) { (answers(begin(\@request)))[0] }
sub sent ($m, %headers) { asked(POST => '/chatmaid/send', $m, \%headers) }

$browser->open("$base/page");
is($browser->run('return document.title + " over " + performance.getEntriesByType("navigation")[0].nextHopProtocol'), 'page over h3', 'the first request');


# --- Tests -------------------------------------------------------------------

subtest 'requests' => sub {
    my ($m, $key) = (message, key);
    my $first  = sent($m, 'Idempotency-Key' => $key);
    my $second = sent($m, 'Idempotency-Key' => $key);
    is(told($first), 201, 'a send');
    is("$second->{body} $second->{headers}{'idempotent-replayed'}", "$first->{body} true", 'the same again');
    is(made($m), 1, 'one message');
    ok($first->{headers}{'x-request-id'}, 'it has a request id');

    my $id = $first->{json}{id};
    is(asked(GET => "/chatmaid/messages/$id")->{json}{id}, $id, 'a read');
    is(asked(GET => "/chatmaid/operations/$key")->{json}{state}, 'done', 'its record');
    is(asked(GET => "/chatmaid/messages/$id?wait=1&until=read")->{headers}{'chatmaid-wait'}, 'timeout', 'a wait');
    is(asked(POST => '/chatmaid/v1/messages/send', native_message)->{status}, 201, "Chatmaid's own face");
    my $head = asked(HEAD => '/chatmaid/account');
    is("$head->{status} $head->{body}", '200 ', 'HEAD');

    for my $case ([404, GET => '/chatmaid/nothing'], [405, GET => '/chatmaid/send'], [403, POST => '/denied/send', message],
        [422, POST => '/chatmaid/send', message, {'Idempotency-Key' => $key}], [413, POST => '/small/send', message(text => 'x' x 200)])
    {
        my ($status, @request) = @$case;
        my $answer = asked(@request);
        is("$answer->{status} $answer->{json}{status} $answer->{headers}{'content-type'}", "$status $status application/problem+json", "$status, a problem");
    }

    $m = message;
    is(told(asked(POST => '/chatmaid/send', (' ' x 200_000) . encode_json($m))), 201, 'a body that is read from a file');
    is(made($m), 1, 'is one message');
};

subtest 'many at once' => sub {
    my ($m, $key) = (message, key);
    my @messages = map { message } 1 .. 60;
    my @sends    = map { ([POST => '/chatmaid/send', $_], [POST => '/chatmaid/send', $m, {'Idempotency-Key' => $key}]) } @messages;
    is(join(' ', map { told($_) } answers(begin(@sends))), join(' ', (201) x @sends), 'all are answered');
    is(join(' ', map { made($_) } $m, @messages), join(' ', (1) x 61), 'one message each, and one of all that have a key');
};

subtest 'a caller that leaves' => sub {
    my ($m, $key) = (message, key);
    $api->fault({hold => 'before'});
    my ($send) = begin([POST => '/chatmaid/send', $m, {'Idempotency-Key' => $key}]);
    $api->wait_held;
    leave($send);
    like((answers($send))[0]{body}, qr/AbortError/, 'in the middle of a send');
    $api->release;
    wait_for(sub { made($m) }, 'the message');
    my $again = sent($m, 'Idempotency-Key' => $key);
    is(told($again) . " $again->{headers}{'idempotent-replayed'}", '201 true', 'the same again finds it');
    is(made($m), 1, 'one message');

    my $waiters = sub { metric('chatmaid_waiters') };
    my ($wait) = begin([GET => "/chatmaid/messages/$again->{json}{id}?wait=3600&until=read"]);
    wait_for(sub { $waiters->() == 1 }, 'a waiter');
    leave($wait);
    wait_for(sub { $waiters->() == 0 }, 'none');
    ok(1, 'in the middle of a wait, which ends then');
};

subtest 'a deadline' => sub {
    my ($m, $key) = (message, key);
    my @send = (POST => '/brief/send', $m, {'Idempotency-Key' => $key});
    $api->fault({hold => 'before'});
    is(told(asked(@send)), '504 upstream_timeout unknown', 'a send that takes too long');
    $api->wait_held;                    # its try goes on
    is(asked(GET => '/status')->{status}, 200, 'the connection goes on');
    $api->release;
    wait_for(sub { asked(GET => "/chatmaid/operations/$key")->{json}{state} eq 'done' }, 'its record');
    is(told(asked(POST => '/chatmaid/send', @send[2, 3])), 201, 'the same again');
    is(made($m), 1, 'one message');
};

subtest 'webhooks' => sub {
    my $body = event('message.sent');
    my $hook = sub ($secret) { asked(POST => '/hooks', $body, {'X-Chatmaid-Signature' => sign($body, secret => $secret)}) };
    is(code($hook->('whsec_guessed')), '401 signature_mismatch', 'a forgery');
    is(code($hook->(webhook_secret)), 200, 'an event');
    is(code($hook->(webhook_secret)), 200, 'once more');
    is(passed($receiver, $body), 1, 'is handed on once');
};

# nginx may lose the connections of HTTP/3 then; a send is none of them.
subtest 'a reload' => sub {
    my ($m, $key) = (message, key);
    $api->fault({hold => 'before'});
    begin([POST => '/chatmaid/send', $m, {'Idempotency-Key' => $key}]);
    $api->wait_held;
    $nginx->reload;
    $api->release;
    wait_for(sub { made($m) }, 'the message');
    my $again = wait_for(sub { my $answer = sent($m, 'Idempotency-Key' => $key); $answer->{status} && $answer }, 'an answer', 180);
    is(told($again) . " $again->{headers}{'idempotent-replayed'}", '201 true', 'the same again is answered by a new worker');
    is(made($m), 1, 'one message');
};

my @others = grep { !/ HTTP\/3\.0"/ && !/"GET \/status / } split /\n/, slurp($nginx->dir . '/access.log');
is(join("\n", @others), '', 'all of it over HTTP/3');

subtest 'HTTP/2 and HTTP/1.1 on the same port' => sub {
    my $said = dir . '/said';
    for my $version ('1.1', '2') {
        my $m     = message;
        my @curl  = ('curl', '-sS', '--cacert', certificates->crt('ca'), "--http$version", '-o', $said, '-w', '%{http_version} %{http_code}',
            '-H', 'Content-Type: application/json', '-d', encode_json($m), "$base/chatmaid/send");
        open my $out, '-|', @curl or die;
        is(join('', <$out>), "$version 201", "a send over HTTP/$version");
        is(made($m), 1, 'is one message');
    }
};

$browser->stop;
done;
