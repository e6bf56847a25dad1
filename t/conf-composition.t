# nginx's own directives keep working in the gateway location and in the internal
# one: one of each kind.

use Chatmaid::Test;

my $proxy  = '%PROXY% proxy_pass https://chatmaid_api/;';
my $sender = 'chatmaid_sender +15550100001;';

my $other = sandbox(name => 'other');
my $api   = sandbox;

my %upstream = (
    zoned      => 'zone zoned 64k; server 127.0.0.1:%API%; keepalive 4;',
    least_conn => 'least_conn; server 127.0.0.1:%API%; keepalive 4;',
    hashed     => 'hash $request_method consistent; server 127.0.0.1:%API%; keepalive 4;',
    ip_hash    => 'ip_hash; server 127.0.0.1:%API%; keepalive 4;',
    random     => 'random two least_conn; server 127.0.0.1:%API%; keepalive 4;',
    backup     => 'server 127.0.0.1:%PORT:nobody% down; server 127.0.0.1:%API% backup; keepalive 4;',
    both       => 'zone both 64k; least_conn; server 127.0.0.1:%API%; server 127.0.0.1:' . $other->port . '; keepalive 4;',
    spare      => 'server 127.0.0.1:%API%; server 127.0.0.1:' . $other->port . ' backup; keepalive 4;',
    unkept     => 'server 127.0.0.1:%API%; keepalive_requests 1;',    # since 1.29.7 nginx keeps them by default
);
my $nginx = nginx(
    http => join("\n", map { "upstream $_ { $upstream{$_} }" } sort keys %upstream) . <<'END',

    log_format tries '"$request" $status [$upstream_addr] [$upstream_status] [$upstream_response_time] $request_id';
    map $http_x_team $team_sender { default ""; front +15550100001; back +15550100002; }
    map $ssl_client_s_dn $client_sender { default ""; "CN=orders" +15550100002; }
    limit_req_zone $server_port zone=once:1m rate=1r/m;
    limit_req_zone $server_port zone=out_once:1m rate=1r/m;
    limit_req_zone $server_port zone=out_429:1m rate=1r/m;
    limit_req_zone $server_port zone=smooth:1m rate=5r/s;
    limit_req_zone $server_port zone=out_smooth:1m rate=5r/s;
    limit_conn_zone $server_port zone=out_conn:1m;
END
    files  => {users => "ann:{PLAIN}swordfish\n"},
    server => join("\n", map { "location ^~ /$_/ { chatmaid_gateway /.$_/; $sender } location ^~ /.$_/ { "
        . $proxy =~ s/chatmaid_api/$_/r . ' proxy_next_upstream error timeout http_503 non_idempotent; }' } sort keys %upstream) . <<"END",

        access_log %DIR%/access.log all;
        access_log %DIR%/tries.log tries;

        location ^~ /allowed/   { chatmaid_gateway /.chatmaid/; $sender allow 127.0.0.1; deny all; }
        location ^~ /elsewhere/ { chatmaid_gateway /.chatmaid/; $sender allow 10.0.0.0/8; deny all; }
        location ^~ /any/       { chatmaid_gateway /.chatmaid/; $sender satisfy any; allow 10.0.0.0/8; deny all;
                                  auth_request /auth; }
        location ^~ /asked/     { chatmaid_gateway /.chatmaid/; chatmaid_sender \$who; auth_request /auth;
                                  auth_request_set \$who \$upstream_http_x_sender; }
        location = /auth        { internal; proxy_pass http://127.0.0.1:%PORT:auth%; proxy_pass_request_body off;
                                  proxy_set_header Content-Length ""; proxy_set_header X-Token \$http_x_token; }
        location ^~ /once/      { chatmaid_gateway /.chatmaid/; $sender limit_req zone=once; }
        location ^~ /smooth/    { chatmaid_gateway /.chatmaid/; $sender limit_req zone=smooth burst=10; }
        location ^~ /out-once/  { chatmaid_gateway /.out-once/; $sender }
        location ^~ /out-429/   { chatmaid_gateway /.out-429/; $sender }
        location ^~ /out-smooth/ { chatmaid_gateway /.out-smooth/; $sender }
        location ^~ /out-conn/  { chatmaid_gateway /.out-conn/; $sender }
        location ^~ /.out-once/ { limit_req zone=out_once; $proxy }
        location ^~ /.out-429/  { limit_req zone=out_429; limit_req_status 429; $proxy }
        location ^~ /.out-smooth/ { limit_req zone=out_smooth burst=10; $proxy }
        location ^~ /.out-conn/ { limit_conn out_conn 1; $proxy }
        location ^~ /page/      { chatmaid_gateway /.chatmaid/; deny all; error_page 403 \@denied; }
        location \@denied       { default_type application/json; return 403 '{"ours":true}'; }
        location ^~ /mapped/    { chatmaid_gateway /.chatmaid/; chatmaid_sender \$team_sender fixed; }
        location ^~ /headers/   { chatmaid_gateway /.chatmaid/; $sender add_header X-Seen yes;
                                  add_header X-Always \$upstream_status always; expires 1h; }
        location ^~ /seen/      { chatmaid_gateway /.seen/; $sender }
        location ^~ /.seen/     { proxy_set_header X-Agent \$http_user_agent; proxy_set_header X-Type \$content_type;
                                  proxy_set_header X-Length \$content_length; proxy_set_header X-Trace \$request_id;
                                  proxy_set_header X-Given \$http_x_request_id; proxy_set_header X-Cookie \$http_cookie;
                                  proxy_set_header Host developers-api.chatmaid.net; $proxy }
        location = /includes    { ssi on; default_type text/html; return 200 'before <!--# include virtual="/chatmaid/account" --> after'; }
        location = /sends       { ssi on; default_type text/html; return 200 'before <!--# include virtual="/chatmaid/v1/messages/send" --> after'; }
        location = /asks        { auth_request /chatmaid/account; empty_gif; }
        location = /mirrors     { mirror /chatmaid/account; empty_gif; }
        location = /adds        { add_after_body /chatmaid/account; default_type text/html; return 200 'before '; }
        location ^~ /real/      { chatmaid_gateway /.chatmaid/; $sender set_real_ip_from 127.0.0.1;
                                  real_ip_header X-Real-IP; deny 10.0.0.1; }
END
    servers => <<"END");
    server {
        listen 127.0.0.1:%PORT:tls% ssl;
        ssl_certificate     %CRT%;
        ssl_certificate_key %KEY%;
        ssl_client_certificate %CA%;
        ssl_verify_client   on;
        location ^~ /chatmaid/  { chatmaid_gateway /.chatmaid/; chatmaid_sender \$client_sender; }
        location ^~ /orders/    { chatmaid_gateway /.chatmaid/; $sender if (\$ssl_client_s_dn != "CN=orders") { return 403; } }
        location ^~ /.chatmaid/ { $proxy }
    }
    server {
        listen 127.0.0.1:%PORT:auth%;
        location / {
            add_header X-Sender +15550100002;
            if (\$http_x_token = "good") { return 204; }
            return 403;
        }
    }
END

sub at ($path)    { url($path) }
sub send_to ($location, @headers) { post(at("/$location/send"), message, @headers) }


subtest 'allow, deny' => sub {
    is(send_to('allowed')->{status}, 201, 'allowed');
    is(told(send_to('elsewhere')), '403 forbidden not_sent', 'denied');
};

subtest 'satisfy any' => sub {
    is(told(send_to('any')), '403 forbidden not_sent', 'neither');
    is(send_to('any', 'X-Token' => 'good')->{status}, 201, 'one of them');
};

subtest 'auth_request' => sub {
    is(told(send_to('asked', 'X-Token' => 'bad')), '403 forbidden not_sent', 'refused');
    my $answer = send_to('asked', 'X-Token' => 'good');
    is($answer->{status}, 201, 'accepted');
    is($answer->{json}{from}, '+15550100002', 'the sender it names');
    is(get(at('/asked/account'), 'X-Token' => 'good')->{status}, 200, 'a read');
    is(get(at('/asked/account'))->{status}, 403, 'a read refused');
};

subtest 'limit_req in the gateway location' => sub {
    is(send_to('once')->{status}, 201, 'the first');
    like(told(send_to('once')), qr/^503 unavailable/, 'the second');
    my @sends = map { later(POST => at('/smooth/send'), message) } 1 .. 4;
    is($_->result->{status}, 201, 'delayed, not refused') for @sends;
};

subtest 'limit_req in the internal location' => sub {
    is(send_to('out-once')->{status}, 201, 'nodelay: the first');
    is(told(send_to('out-once')), '503 unavailable not_sent', 'nodelay: the second');
    is(told(get(at('/out-once/account'))), '503 unavailable', 'nodelay: a read');

    is(send_to('out-429')->{status}, 201, 'limit_req_status: the first');
    my $refused = send_to('out-429');
    is(told($refused), '429 rate_limited not_sent', 'limit_req_status: the second');
    like($refused->{headers}{'retry-after'}, qr/\A[1-9][0-9]*\z/, 'its Retry-After');
    is($refused->{headers}{'content-type'}, 'application/problem+json', 'its type');

    my $before = $api->made;
    my @sends  = map { later(POST => at('/out-smooth/send'), message) } 1 .. 4;
    is($_->result->{status}, 201, 'delayed, not refused') for @sends;
    is($api->made, $before + 4, 'each once');

    # a caller that does not stay for the delay
    my @gone = map { later(POST => at('/out-smooth/send'), message) } 1 .. 3;
    $_->abort for @gone;
    ok(wait_for(sub { $api->made == $before + 7 }), 'and those that do not wait for it are sent too');
};

subtest 'limit_conn in the internal location' => sub {
    $api->fault({hold => 'before'});
    my $held = later(POST => at('/out-conn/send'), message);
    $api->wait_held;
    like(told(send_to('out-conn')), qr/^503 unavailable not_sent$/, 'one too many');
    $api->release;
    is($held->result->{status}, 201, 'the one');
    is(send_to('out-conn')->{status}, 201, 'and the next');
};

subtest 'error_page' => sub {
    my $answer = send_to('page');
    is("$answer->{status} $answer->{body}", '403 {"ours":true}', 'takes the status');
    is($answer->{headers}{'content-type'}, 'application/json', 'and the form');
};

subtest 'log_format' => sub {
    my $answer = post('/send', {%{+message}, from => '+15550100001'});
    my $id     = $answer->{headers}{'x-request-id'};
    my $port   = $api->port;
    my $line   = wait_for(sub { (grep { /$id/ } split /\n/, slurp($nginx->dir . '/tries.log'))[0] });
    like($line, qr/^"POST \/chatmaid\/send HTTP\/1\.1" 201 \[127\.0\.0\.1:$port\] \[201\] \[\d+\.\d+\] $id$/, 'the try');
    is(($api->header($api->last, 'X-Request-Id'))[0], $id, 'the ID upstream');

    my $refused = post('/send', {});
    $id   = $refused->{headers}{'x-request-id'};
    $line = wait_for(sub { (grep { /$id/ } split /\n/, slurp($nginx->dir . '/tries.log'))[0] });
    like($line, qr/ 400 \[-\] \[-\] \[-\] /, 'no try');
};

# In the internal location they are the call's, not the caller's.
subtest "variables of the request" => sub {
    my $up = sub ($name) { join ' | ', $api->header($api->last, $name) };
    my $id = sub ($what) {
        wait_for(sub { (map { / (\w+)$/ } grep { /\Q$what\E/ } split /\n/, slurp($nginx->dir . '/tries.log'))[-1] });
    };
    is(send_to('seen', 'User-Agent' => 'orders/1.0', 'X-Request-Id' => 'mine-1', Cookie => 'a=b',
        'Content-Type' => 'application/json; charset=utf-8')->{status}, 201, 'a send');
    is($up->('X-Agent'), 'orders/1.0', '$http_user_agent');
    is($up->('X-Type'), 'application/json', '$content_type');
    is($up->('X-Length'), length $api->last->{body}, '$content_length');
    is($up->('X-Given'), 'mine-1', '$http_x_request_id');
    is($up->('X-Cookie'), '', '$http_cookie: there is none');
    like($up->('X-Trace'), qr/\A[0-9a-f]{32}\z/, '$request_id');
    is($up->('X-Trace'), $id->('POST /seen/send '), '$request_id: as in the access log');
    isnt($up->('X-Request-Id'), $up->('X-Trace'), "not the caller's ID");

    is(get(at('/seen/account'), 'User-Agent' => undef)->{status}, 200, 'a read');
    like($up->('X-Agent'), qr{\Angx_http_chatmaid_module/}, '$http_user_agent: our own');
    is($up->('X-Type') . $up->('X-Length'), '', 'no $content_type, no $content_length');
    is($up->('X-Trace'), $id->('GET /seen/account '), '$request_id of a read');
    is($up->('X-Request-Id'), $up->('X-Trace'), 'which is its ID as well');
};

subtest 'upstream' => sub {
    for my $name (grep { !/both|spare|unkept/ } sort keys %upstream) {
        my $from = $api->count + 1;
        is(send_to($name)->{status}, 201, "$name: send $_") for 1 .. 5;
        is(get(at("/$name/account"))->{status}, 200, "$name: a read");
        is(scalar(grep { !$_->{reused} } $api->requests(from => $from)), 1, "$name: one connection");
    }
    my @from = ($api->count + 1, $other->count + 1);
    is(send_to('both')->{status}, 201, "both: send $_") for 1 .. 6;
    my @seen = ($api->requests(from => $from[0]), $other->requests(from => $from[1]));
    is(scalar @seen, 6, 'both: each once');
    is(scalar(grep { !$_->{reused} } @seen), 2, 'both: a connection to each');

    my $spared = $other->count;
    $api->fault({status => 503});
    is(send_to('spare')->{status}, 201, 'spare: the backup answers');
    is($other->count, $spared + 1, 'spare: it was the backup');

    my $from = $api->count + 1;
    is(send_to('unkept')->{status}, 201, "unkept: send $_") for 1 .. 2;
    is(scalar(grep { !$_->{reused} } $api->requests(from => $from)), 2, 'unkept: two connections');
};

# An "if" or a "limit_except" takes over the content handler of its location.
subtest 'a content handler in an if' => sub {
    my %wrong = (
        'proxy_pass in an if'           => 'if ($http_x) { proxy_pass http://127.0.0.1:1; }',
        'fastcgi_pass in an if'         => 'if ($http_x) { fastcgi_pass 127.0.0.1:1; }',
        'proxy_pass in a limit_except'  => 'limit_except GET { proxy_pass http://127.0.0.1:1; }',
    );
    for my $name (sort keys %wrong) {
        my ($code, $said) = nginx_t(gateway => "$sender $wrong{$name}");
        is($code, 1, "$name: refused");
        like($said, qr/\[emerg\].*"chatmaid_gateway" shares/, "$name: says so");
    }
    my ($code) = nginx_t(gateway => "$sender if (\$http_x) { return 418; } limit_except GET { deny all; }");
    is($code, 0, 'without one: taken');
};

subtest 'map' => sub {
    is(send_to('mapped', 'X-Team' => 'front')->{json}{from}, '+15550100001', 'one team');
    is(send_to('mapped', 'X-Team' => 'back')->{json}{from}, '+15550100002', 'another');
    is(told(send_to('mapped')), '403 sender_denied not_sent', 'none');
    my $other = post(at('/mapped/send'), {%{+message}, from => '+15550100002'}, 'X-Team' => 'front');
    is(told($other), '403 sender_denied not_sent', "another team's");
};

subtest 'client certificates' => sub {
    my $base  = 'https://127.0.0.1:' . $nginx->port('tls');
    my $with  = sub ($kind) { client(base => $base, tls_options =>
        {cert => certificates->crt($kind), key => certificates->key($kind)}) };

    is($with->('client')->post('/chatmaid/send', message)->{json}{from}, '+15550100002', 'the sender by its name');
    is(told($with->('edge')->post('/chatmaid/send', message)), '400 invalid_request not_sent', 'none for another');
    is($with->('client')->post('/orders/send', message)->{status}, 201, 'let in by its name');
    is(told($with->('edge')->post('/orders/send', message)), '403 forbidden not_sent', 'kept out by its name');
    my $none = client(base => $base)->post('/chatmaid/send', message);
    is($none->{status}, 400, 'without one');
    like($none->{body}, qr/No required SSL certificate/, "nginx's own page: there is no location yet");
};

subtest 'add_header' => sub {
    my $sent = send_to('headers');
    is($sent->{headers}{'x-seen'}, 'yes', 'on a send');
    is($sent->{headers}{'x-always'}, 201, 'with the status of the try');
    like($sent->{headers}{'cache-control'}, qr/max-age/, 'expires');
    my $none = get(at('/headers/messages/nobody'));
    is($none->{headers}{'x-seen'}, undef, 'not on an error');
    is($none->{headers}{'x-always'}, 404, 'but always');
};

# A flow belongs to a caller: nginx's own subrequests are refused, and told so.
subtest 'subrequests' => sub {
    my $before  = $api->count;
    my $problem = qr/\{"type":"about:blank".*"status":403.*"code":"forbidden".*\}/;
    like(get(at('/includes'))->{body}, qr/\Abefore $problem after\z/, 'SSI');
    like(get(at('/sends'))->{body}, qr/\Abefore \{"success":false.*"statusCode":403.*\} after\z/, 'SSI, the native face');
    like(get(at('/adds'))->{body}, qr/\Abefore $problem\z/, 'add_after_body');
    is(get(at('/asks'))->{status}, 403, 'auth_request');
    is(get(at('/mirrors'))->{status}, 200, 'mirror');
    ok(wait_for(sub { 5 == (() = $nginx->logged(qr/\[error\].*chatmaid gateway refuses "\S+": a subrequest/)) }), 'a line for each');
    is(get(at('/chatmaid/account'))->{status}, 200, 'a request of its own');
    is($api->count, $before + 1, 'and Chatmaid heard of no other');
};

subtest 'realip' => sub {
    is(send_to('real')->{status}, 201, 'allowed');
    is(told(send_to('real', 'X-Real-IP' => '10.0.0.1')), '403 forbidden not_sent', 'denied');
};

done;
