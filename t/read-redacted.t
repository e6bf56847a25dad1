# Where Chatmaid's answer has the API key in it, "[redacted]" stands there instead
# before the answer is stored, passed on or logged.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::JSON qw(encode_json);

debug_logs;

my $redis = redis_server;
my $api   = sandbox;
my $short = 'sk_test_s';                        # shorter than what stands for it
$api->config(keys => [map { {key => $_, account => 'main'} } test_key, $short]);

my $nginx = nginx(
    http    => 'chatmaid_retries 0; chatmaid_redis ' . $redis->url . ' timeout=30s;',
    files   => {short => $short},
    gateway => 'chatmaid_sender +15550100001;',
    server  => 'location ^~ /short/ { chatmaid_gateway /.chatmaid/; chatmaid_account short; chatmaid_api_key_file %DIR%/short; }',
);

my $key = test_key;
my %text = (
    'alone'      => [$key, '[redacted]'],
    'in a text'  => ["Bearer $key, and $key again", 'Bearer [redacted], and [redacted] again'],
    'touching'   => ["$key$key", '[redacted][redacted]'],
    'nearly'     => [substr($key, 0, -1) . "_ $key", substr($key, 0, -1) . '_ [redacted]'],
);

# The first and the last character as JSON escapes.
sub escaped ($key) { $key =~ s/^(.)(.*)(.)$/sprintf '\\u%04x%s\\u%04X', ord $1, $2, ord $3/er }

for my $name (sort keys %text) {
    my ($sent, $passed) = @{$text{$name}};

    for my $spelling (0, 1) {
        my $body = sub ($json) { my $text = encode_json($json); $spelling ? $text =~ s/\Q$key\E/escaped($key)/ger : $text };
        my $case = $name . ($spelling ? ', escaped' : '');

        my $data = {id => 'msg_1', content => $sent, $sent => 1};
        $api->fault(({status => 200, body => $body->({success => \1, data => $data})}) x 2);
        is_deeply(get('/messages/msg_1')->{json}, {id => 'msg_1', content => $passed, $passed => 1}, "$case: a read");
        is_deeply(get('/v1/messages/msg_1')->{json}{data}, {id => 'msg_1', content => $passed, $passed => 1}, "$case: on the native face");

        my ($k, $m) = (key, message);
        $api->fault({status => 201, effect => \1, body => $body->({success => \1, data => $data})});
        is(post('/send', $m, 'Idempotency-Key' => $k)->{json}{content}, $passed, "$case: a send") for 1, 2;

        $api->fault(({status => 400, body => $body->({success => \0, error => $sent, message => [$sent]})}) x 2);
        is(post('/send', message)->{json}{detail}, $passed, "$case: an error");
        my $error = post('/v1/messages/send', native_message)->{json};
        is("$error->{error} $error->{message}[0]", "$passed $passed", "$case: on the native face");
    }
}

is($api->count, 40, 'the replays called nothing');
is(scalar(grep { /\Q$key\E/ } map { $redis->cli('GET', $_) } split /\n/, $redis->cli('KEYS', '*')), 0, 'no record has it');
ok(scalar $nginx->logged(qr/\[error\].*the API key, which is redacted/), 'a line says so');

$api->fault({status => 200, body => encode_json({success => \1, data => {a => $short, b => "x$short$short"}})});
is_deeply(get(url('/short/account'))->{json}, {a => '[redacted]', b => 'x[redacted][redacted]'}, 'a key that is shorter');

$api->fault({status => 404, body => "<html>$key", type => 'text/html'});
unlike(post('/send', message)->{body}, qr/\Q$key\E/, 'what is no JSON');

# Header lines go into nginx's own log lines, and into variables.
subtest 'in the head of an answer' => sub {
    my $nginx = nginx(
        name     => 'heads',
        http     => q{chatmaid_retries 0; log_format heads '$upstream_status "$upstream_http_x_echo" "$upstream_http_authorization"';},
        internal => 'log_subrequest on; access_log %DIR%/access.log heads; proxy_next_upstream http_503;',
        upstream => 'server 127.0.0.1:%API% max_fails=0; server 127.0.0.1:%API% max_fails=0;',
        gateway  => 'chatmaid_sender +15550100001;',
    );
    my $end  = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    my $echo = "X-Echo: Bearer $key, $key\r\nAuthorization: $key\r\nSet-Cookie: k=$key\r\nLocation: /$key\r\n";
    my %head = (
        'a line that nginx refuses' => ["HTTP/1.1 200 OK\r\nX-Echo: Bearer $key\0\r\n$end", qr/invalid header: "X-Echo: Bearer \*+\\x00/],
        'header lines'              => ["HTTP/1.1 200 OK\r\n$echo$end", qr/http proxy header: "Set-Cookie: k=\*+"/],
        'the reason'                => ["HTTP/1.1 500 not $key\r\n$end", qr/http proxy status 500 "500 not \*+"/],
        'lines that end with LF'    => [("HTTP/1.1 200 OK\r\n$echo$end" =~ s/\r//gr), qr/http proxy header: "Location: \/\*+"/],
        'early hints'               => ["HTTP/1.1 103 Early Hints\r\n$echo\r\nHTTP/1.1 200 OK\r\n$echo$end", qr/http proxy header: "X-Echo: Bearer \*+, \*+"/],
    );
    for my $name (sort keys %head) {
        my ($raw, $line) = @{$head{$name}};
        my $from = length $nginx->error_log;
        $api->fault({raw => $raw}) for 1, 2;
        $nginx->get($nginx->url('/chatmaid/messages/msg_1'));
        $nginx->post($nginx->url('/chatmaid/send'), message);
        my $logged = substr($nginx->error_log, $from);
        like($logged, $line, "$name: logged without the key");
        like($logged, qr/\[error\].*the API key, which is redacted/, "$name: a line says so");
        $api->clear_faults;
    }

    my $from = length $nginx->error_log;
    $api->fault({status => 503}, {raw => $head{'header lines'}[0]});
    $nginx->get($nginx->url('/chatmaid/messages/msg_1'));
    like(substr($nginx->error_log, $from), $head{'header lines'}[1], 'which answers with the key');

    like(slurp($nginx->dir . '/access.log'), qr/^200 "Bearer \*+, \*+" "\*+"$/m, 'nor have variables');
};

done;
