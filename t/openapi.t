# docs/openapi.yaml against a real gateway: each route and each status that it
# documents is brought about, and the answer is what its schema says.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);

my $top = path(__FILE__)->to_abs->dirname->dirname;
my $api = sandbox;

# A gateway for each thing that goes wrong; accounts of their own are held back
# for themselves.
my @routes = qw(send messages message inbound inbound_message phones phone phone_status groups account usage);
my %location = (
    denied => 'chatmaid_scope account:read;',
    none   => 'chatmaid_scope messages:send;',
    brief  => 'chatmaid_timeout 200ms; chatmaid_account brief;',
    bare   => 'chatmaid_sender $http_x_none;',
    small  => 'client_max_body_size 100;',
    now    => 'chatmaid_idempotency_wait 0; chatmaid_timeout 1h;',
    users  => 'auth_basic users; auth_basic_user_file %DIR%/users;',
    nobody => 'deny all;',
    broken => 'auth_request /broken-auth;',
    once   => 'limit_req zone=once;',
    map { ("held_$_" => "chatmaid_account held_$_;") } @routes,
);

my $http  = 'chatmaid_retries 0; chatmaid_sender +15550100001; ';
my $nginx = nginx(key => live_key, files => {users => ''}, internal => 'proxy_read_timeout 1h;',
    http   => "$http limit_req_zone \$request_uri zone=once:1m rate=1r/m;",
    server => join("\n", 'location = /broken-auth { internal; return 500; }', map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; $location{$_} }" } sort keys %location));
my $lost = nginx(name => 'lost', http => $http . 'chatmaid_redis redis://127.0.0.1:1 fallback=reject;');

my $answers = dir . '/answers';
open my $out, '>', $answers or die;

# What comes of a request is for the check to judge; the status is what was meant.
sub comes ($nginx, $want, $method, $route, $path, @more) {
    my $answer = ref $path ? $path : $nginx->request($method => $nginx->url($path), @more);
    is($answer->{status}, $want, "$method $route: $want");
    say $out encode_json({method => $method, route => $route, status => 0 + $answer->{status},
        headers => $answer->{headers}, body => $answer->{body}});
    return $answer;
}

# What nginx itself says, on any route.
sub nginx_says ($method, $route, $path, @body) {
    my $say = sub ($at) { $nginx->request($method => $nginx->url("/$at/$path"), @body) };
    comes($nginx, 401, $method => $route, $say->('users'));
    comes($nginx, 403, $method => $route, $say->('nobody'));
    comes($nginx, 500, $method => $route, $say->('broken'));
    $say->('once');
    comes($nginx, 503, $method => $route, $say->('once'));
}

my $message = comes($nginx, 201, POST => '/send', '/chatmaid/send', message)->{json}{id};
my $inbound = $nginx->get('/messages/inbound')->{json}{data}[0]{id};
my $phone   = '%2B15550100001';

# name => [route, path, paths that are 400, a path that is 404, location that lacks the scope]
my %read = (
    messages        => ['/messages', 'messages', ['messages?limit=0'], undef, 'none'],
    message         => ['/messages/{id}', "messages/$message", ['messages/a%2Fb', "messages/$message?wait=soon", "messages/$message?until=read"], 'messages/msg_none', 'none'],
    inbound         => ['/messages/inbound', 'messages/inbound', ['messages/inbound?page=none'], undef, 'none'],
    inbound_message => ['/messages/inbound/{id}', "messages/inbound/$inbound", ['messages/inbound/a%2Fb'], 'messages/inbound/none', 'none'],
    phones          => ['/phones', 'phones', [], undef, 'none'],
    phone           => ['/phones/{id}', "phones/$phone", ['phones/a%2Fb'], 'phones/none', 'none'],
    phone_status    => ['/phones/{id}/status', "phones/$phone/status", ['phones/%2e%2e/status'], 'phones/none/status', 'none'],
    groups          => ['/groups', 'groups', [], undef, 'none'],
    account         => ['/account', 'account', [], undef, 'none'],
    usage           => ['/account/usage', 'account/usage?period=day', [], undef, 'none'],
);

my %LIMITED = (status => 429, headers => {'Retry-After' => 7}, json => {success => \0, error => 'Too Many Requests',
    message => ['Rate limit exceeded'], statusCode => 429, retryAfter => 7});

for my $name (sort keys %read) {
    my ($route, $path, $wrong, $unknown, $denied) = @{$read{$name}};
    comes($nginx, 200, GET => $route, "/chatmaid/$path");
    comes($nginx, 400, GET => $route, "/chatmaid/$_") for @$wrong;
    comes($nginx, 404, GET => $route, "/chatmaid/$unknown") if $unknown;
    comes($nginx, 403, GET => $route, "/$denied/$path");
    my $other = $nginx->request(DELETE => $nginx->url("/chatmaid/$path"));
    comes($nginx, 405, GET => $route, $other);

    $api->fault({status => 500, body => 'broken'});
    comes($nginx, 502, GET => $route, "/chatmaid/$path");
    $api->fault({%LIMITED});
    comes($nginx, 429, GET => $route, "/held_$name/$path");
    $api->fault({hold => 'before'});
    comes($nginx, 504, GET => $route, "/brief/$path");
    $api->release;
    nginx_says(GET => $route, $path);
}

comes($nginx, 400, GET => '/groups', '/bare/groups');
my $waited = comes($nginx, 200, GET => '/messages/{id}', "/chatmaid/messages/$message?wait=1&until=read");
is($waited->{headers}{'chatmaid-wait'}, 'timeout', 'a wait that runs out');

subtest 'send' => sub {
    my ($m, @key) = (message, 'Idempotency-Key' => key);
    my @send = (POST => '/send');
    comes($nginx, 201, @send, '/chatmaid/send', $m, @key);
    is(comes($nginx, 201, @send, '/chatmaid/send', $m, @key)->{headers}{'idempotent-replayed'}, 'true', 'a replay');
    comes($nginx, 201, @send, '/chatmaid/send?wait=1&until=sent', message(media => 'https://files.example/1.png'));
    comes($nginx, 422, @send, '/chatmaid/send', message, @key);
    comes($nginx, 400, @send, '/chatmaid/send', {});
    comes($nginx, 400, @send, '/chatmaid/send?wait=soon', message);
    comes($nginx, 403, @send, '/denied/send', message);
    comes($nginx, 404, @send, '/chatmaid/send', message(from => '+15550100009'));
    comes($nginx, 405, @send, $nginx->request(GET => $nginx->url('/chatmaid/send')));
    comes($nginx, 413, @send, '/small/send', message(text => 'x' x 200));
    comes($nginx, 415, @send, $nginx->request(POST => $nginx->url('/chatmaid/send'), '{}', 'Content-Type' => 'text/plain'));

    $api->fault({hold => 'before'});
    my @twice = (message, 'Idempotency-Key' => key);
    my $first = $nginx->later(POST => $nginx->url('/now/send'), @twice);
    $api->wait_held(1);
    ok(comes($nginx, 409, @send, '/now/send', @twice)->{headers}{'retry-after'}, 'later');
    $api->release;
    is($first->result->{status}, 201, 'the first');

    $api->fault({status => 500, body => 'broken'});
    comes($nginx, 502, @send, '/chatmaid/send', message);
    $api->fault({%LIMITED});
    is(comes($nginx, 429, @send, '/held_send/send', message)->{headers}{'retry-after'}, 7, 'later');
    $api->fault({hold => 'before'});
    comes($nginx, 504, @send, '/brief/send', message);
    $api->release;
    ok(comes($lost, 503, @send, '/chatmaid/send', message)->{headers}{'retry-after'}, 'later');
    nginx_says(@send, 'send', message);
};

subtest 'operations' => sub {
    my @get = (GET => '/operations/{key}');
    my ($done, $open, $doubtful) = (key, key, key);
    $nginx->post('/send', message, 'Idempotency-Key' => $done);
    comes($nginx, 200, @get, "/chatmaid/operations/$done");
    $api->fault(no_answer('before'));
    $nginx->post('/send', message, 'Idempotency-Key' => $doubtful);
    is(comes($nginx, 200, @get, "/chatmaid/operations/$doubtful")->{json}{state}, 'ambiguous', 'ambiguous');
    $api->fault({hold => 'before'});
    my $send = $nginx->later(POST => $nginx->url('/now/send'), message, 'Idempotency-Key' => $open);
    $api->wait_held(1);
    is(comes($nginx, 200, @get, "/chatmaid/operations/$open")->{json}{state}, 'in_flight', 'in flight');
    $api->release;
    $send->result;
    comes($nginx, 400, @get, '/chatmaid/operations/a%20b');
    comes($nginx, 403, @get, "/none/operations/$done");
    comes($nginx, 404, @get, '/chatmaid/operations/never');
    comes($nginx, 405, @get, $nginx->request(DELETE => $nginx->url("/chatmaid/operations/$done")));
    comes($lost, 503, @get, '/chatmaid/operations/never');
    nginx_says(@get, "operations/$done");
};

subtest 'health' => sub {
    comes($nginx, 200, GET => '/health', '/chatmaid/health');
    comes($nginx, 405, GET => '/health', $nginx->request(POST => $nginx->url('/chatmaid/health'), {}));
    wait_for(sub { $lost->get('/health')->{status} == 503 }, 'Redis to be known as away');
    comes($lost, 503, GET => '/health', '/chatmaid/health');
    nginx_says(GET => '/health', 'health');
};

close $out;
my $said = qx(/usr/bin/python3 @{[$top->child('t/openapi-check.py')]} @{[$top->child('docs/openapi.yaml')]} $answers 2>&1);
is($?, 0, 'as docs/openapi.yaml says') or diag($said);

done;
