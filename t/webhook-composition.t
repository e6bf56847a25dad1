# nginx's own directives keep working in a webhook location, and none of them is a
# way around the signature.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;
use Digest::SHA qw(sha256_hex);
use Mojo::IOLoop;

my $receiver = receiver;
my $forged   = secret('whsec_another-secret-0123');
my $up       = 'proxy_pass http://127.0.0.1:%API%';

my $edge = edge(
    http => <<'END_CONF',
    chatmaid_webhook_dedup 0;
    limit_req_zone $server_port zone=once:1m rate=1r/m;
    upstream receivers { server 127.0.0.1:%API%; keepalive 8; }
END_CONF
    files  => {other => $forged},
    server => <<"END_CONF");
        location = /allowed   { chatmaid_webhook on; allow 127.0.0.1; deny all; $up; }
        location = /elsewhere { chatmaid_webhook on; allow 10.0.0.0/8; deny all; $up; }
        location = /asked     { chatmaid_webhook on; auth_request /auth; $up; }
        location = /any       { chatmaid_webhook on; satisfy any; deny all; auth_request /auth; $up; }
        location = /once      { chatmaid_webhook on; limit_req zone=once; $up; }
        location = /mirrored  { chatmaid_webhook on; mirror /copy; $up; }
        location = /kept      { chatmaid_webhook on; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://receivers/prefix/; }
        location = /auth      { internal; proxy_pass http://127.0.0.1:%API%; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
        location = /copy      { internal; $up; }

        location = /limited   { chatmaid_webhook on; limit_except POST { deny all; } $up; }
        location = /if        { chatmaid_webhook on; if (\$http_x_which = "other") { proxy_pass http://127.0.0.1:%API%; } $up; }
        location = /if-return { chatmaid_webhook on; if (\$http_x_which = "stop") { return 410; } $up; }
        location = /rewritten { rewrite ^ /if last; }
        location /nested/     { chatmaid_webhook on; $up; location /nested/in/ { $up; } location /nested/off/ { chatmaid_webhook off; $up; } }
        location ~ ^/re/      { chatmaid_webhook on; $up; }

        location = /tried     { chatmaid_webhook on; try_files /none /landed; $up; }
        location = /landed    { chatmaid_webhook on; $up; }
        location = /page      { chatmaid_webhook on; proxy_intercept_errors on; error_page 503 = /landed; error_page 500 =202 \@took; $up; }
        location = /spilled   { chatmaid_webhook on; client_body_buffer_size 1k; proxy_intercept_errors on; error_page 503 = \@second; $up; }
        location \@second     { $up; }
        location \@took       { return 202 "took it"; }
        location = /refused   { chatmaid_webhook on; error_page 401 400 =200 /plain; $up; }
        location = /accel     { chatmaid_webhook on; $up; }
        location = /inside    { internal; chatmaid_webhook on; chatmaid_webhook_secret_file %DIR%/other; $up; }

        location = /into-413  { client_max_body_size 10; error_page 413 = /landed; $up; }
        location = /into-403  { deny all; error_page 403 = /landed; $up; }
        location = /into-405  { error_page 405 = /landed; empty_gif; }
        location = /unbuffered { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:%PORT:nobody%; error_page 502 = \@whole; }
        location \@whole      { chatmaid_webhook on; $up; }
        location = /asks-hook { auth_request /landed; $up; }
        location = /mirrors-hook { mirror /landed; $up; }

        location = /fastcgi   { chatmaid_webhook on; fastcgi_pass 127.0.0.1:%PORT:fastcgi%; fastcgi_param CONTENT_LENGTH \$content_length;
                                fastcgi_param EVENT \$chatmaid_webhook_event; }
        location = /uwsgi     { chatmaid_webhook on; uwsgi_pass 127.0.0.1:%PORT:uwsgi%; uwsgi_param CONTENT_LENGTH \$content_length;
                                uwsgi_param EVENT \$chatmaid_webhook_event; }
END_CONF

sub to ($path, @more)     { my $body = event('message.sent'); hook_at($path, $body, @more) }
sub forge ($path, @more)  { my $body = event('message.sent'); hook_at($path, $body, signed($body, secret => $forged), @more) }
sub got (%want)           { map { "$_->{method} $_->{target}" } $receiver->requests(%want) }
sub fresh ()              { $receiver->reset; $receiver->clear_faults }

# What holds in every location that lets a true event through.
sub both_ways ($path, $target = $path, @more) {
    fresh;
    is(code(forge($path, @more)), '401 signature_mismatch', "$path: forged");
    is_deeply([got()], [], "$path: nobody has seen it");
    is(code(to($path, @more)), 200, "$path: true");
    is_deeply([got()], ["POST $target"], "$path: handed on, once");
}


subtest 'access' => sub {
    both_ways('/allowed');
    fresh;
    is(code(to('/elsewhere')), '403 forbidden', 'deny');
    is(code(forge('/elsewhere')), '403 forbidden', 'deny comes before the signature');
    is_deeply([got()], [], 'nothing is handed on');

    is(code(to('/asked')), 200, 'auth_request');
    is_deeply([got()], ['GET /auth', 'POST /asked'], 'asks first');
    $receiver->fault({status => 403, match => {path => '/auth'}});
    is(code(to('/asked')), '403 forbidden', 'auth_request refuses');
    $receiver->fault({status => 401, headers => {'WWW-Authenticate' => 'Own'}, match => {path => '/auth'}});
    my $answer = to('/asked');
    is(code($answer), '401 unauthorized', 'auth_request wants credentials');
    is($answer->{headers}{'www-authenticate'}, 'Own', 'and says which');
    is($receiver->count(path => '/asked'), 1, 'nothing is handed on');
    is(code(forge('/asked')), '401 signature_mismatch', 'forged');

    fresh;
    is(code(to('/any')), 200, 'satisfy any');
    is(code(forge('/any')), '401 signature_mismatch', 'does not satisfy the signature');
    is($receiver->count(path => '/any'), 1, 'handed on once');
};

subtest 'limit_req' => sub {
    fresh;
    is(code(to('/once')), 200, 'within the limit');
    is(code(to('/once')), '503 unavailable', 'over it');
    is(scalar got(), 1, 'handed on once');
};

subtest 'mirror' => sub {
    fresh;
    my $body = event('message.sent');
    is(code(hook_at('/mirrored', $body)), 200, 'true');
    $receiver->wait_requests(2);
    is_deeply([sort +got()], ['POST /copy', 'POST /mirrored'], 'handed on, with a copy');
    is(passed($receiver, $body), 2, 'byte for byte');
    is(code(forge('/mirrored')), '401 signature_mismatch', 'forged');
    is(scalar got(), 2, 'no copy of it');
};

subtest 'locations' => sub {
    both_ways('/kept', '/prefix/');
    both_ways($_) for '/if', '/limited', '/nested/a', '/nested/in/a', '/re/a';
    both_ways('/rewritten', '/if');
    both_ways('/if', '/if', 'X-Which' => 'other');
    is(to('/if-return', 'X-Which' => 'stop')->{status}, 410, 'if, return');
    both_ways('/if-return');
    fresh;
    is(forge('/nested/off/a')->{status}, 200, 'off in a nested location');
    is(code(request(GET => url('/limited'))), '403 forbidden', 'limit_except');
    is(code(request(GET => url('/nested/in/a'))), '405 method_not_allowed', 'GET in a nested location');
};

subtest 'internal redirects of what was verified' => sub {
    both_ways('/tried', '/landed');
    fresh;
    $receiver->fault({status => 503});
    is(code(to('/page')), 200, 'error_page to a location that verifies');
    is_deeply([got()], ['POST /page', 'GET /landed'], 'verified once is enough: nginx makes it a GET');
    fresh;
    my $large = event('message.received', {content => 'x' x 20_000});
    $receiver->fault({status => 503});
    is(code(hook_at('/spilled', $large)), 200, 'a second receiver, by error_page');
    is(passed($receiver, $large), 2, 'gets the body as well, although it was in a file');

    fresh;
    $receiver->fault({status => 500});
    my $answer = to('/page');
    is("$answer->{status} $answer->{body}", '202 took it', 'error_page to a named location');

    fresh;
    $receiver->fault({status => 200, headers => {'X-Accel-Redirect' => '/inside'}, match => {path => '/accel'}});
    is(code(to('/accel')), 200, 'X-Accel-Redirect: verified once is enough');
    is(scalar(grep { m{ /inside$} } got()), 1, 'although its secret is another');
    is(code(forge('/refused')), '401 signature_mismatch', 'a refusal is not subject to error_page');
    is(code(to('/inside')), '404 not_found', 'internal stays internal');
};

# What comes to a webhook location in any other way than as a request of its own.
subtest 'ways around' => sub {
    for my $path (qw(/into-413 /into-403 /into-405)) {
        for my $how (\&to, \&forge) {
            fresh;
            my $answer = $how->($path);
            cmp_ok($answer->{status}, '>=', 400, "$path: refused") or note $answer->{raw};
            is_deeply([got()], [], "$path: nothing is handed on");
        }
    }
    my $signed = event('message.sent');
    my %part   = (
        'a part of a body'         => head($signed, path => '/unbuffered', length => 5000) . $signed,
        'a part of a chunked body' => head($signed, path => '/unbuffered', length => undef, lines => ['Transfer-Encoding: chunked'])
            . sprintf("%x\r\n", length $signed) . "$signed\r\n",
    );
    for my $name (sort keys %part) {
        fresh;
        is(code(raw([$part{$name}])), '401 signature_mismatch', "$name: refused");
        is_deeply([got()], [], "$name: not handed on");
    }
    for my $how (\&to, \&forge) {
        fresh;
        cmp_ok($how->('/asks-hook')->{status}, '>=', 400, 'auth_request to a webhook location: refused');
        is_deeply([got()], [], 'nothing is handed on');
        is($how->('/mirrors-hook')->{status}, 200, 'mirror to a webhook location: the request goes on');
        $receiver->wait_requests(1);
        is(code(to('/landed')), 200, 'and another');
        is_deeply([got()], ['POST /mirrors-hook', 'POST /landed'], 'no copy is handed on');
    }
    my $pair = event('message.sent');
    my $head = sub ($path, $signature) { head($pair, path => $path, signature => $signature) . $pair };
    fresh;
    my $raw = raw($head->('/allowed', sign($pair)) . $head->('/allowed', sign($pair, secret => $forged))
        . "GET /plain HTTP/1.0\r\n\r\n", all => 1)->{raw};
    is(join(' ', $raw =~ /HTTP\/1\.1 (\d+)/g), '200 401 204', 'true, forged and plain on one connection');
    is(scalar got(), 1, 'the true one is handed on');
};

# Two that speak just enough of their protocols to say what they got.

my %buffer;
sub backend ($name, $whole) {
    Mojo::IOLoop->server({address => '127.0.0.1', port => $edge->port($name)}, sub ($loop, $stream, $id) {
        $stream->on(read => sub ($stream, $bytes) {
            $buffer{$id} .= $bytes;
            my ($params, $body) = $whole->($buffer{$id}) or return;
            my $said = sha256_hex($body) . ' ' . ($params =~ /EVENT.*?(message\.\w+)/s ? $1 : 'none');
            my $text = "Content-Type: text/plain\r\n\r\n$said";
            $stream->write($name eq 'uwsgi' ? "HTTP/1.0 200 OK\r\n$text"
                : pack('CCnnCC', 1, 6, 1, length $text, 0, 0) . $text . pack('CCnnCCx8', 1, 3, 1, 8, 0, 0));
            $stream->close_gracefully;
        });
    });
}

sub uwsgi_request ($bytes) {
    return if length $bytes < 4;
    my $size   = unpack 'x v', $bytes;
    my $params = substr $bytes, 4, $size;
    my ($length) = $params =~ /CONTENT_LENGTH..(\d+)/s or return;
    return if length $bytes < 4 + $size + $length;
    return ($params, substr $bytes, 4 + $size);
}

sub fastcgi_request ($bytes) {
    my ($params, $body) = ('', '');
    while (length $bytes >= 8) {
        my ($type, $size, $padding) = unpack 'x C x2 n C', $bytes;
        return if length $bytes < 8 + $size + $padding;
        return ($params, $body) if $type == 5 && !$size;
        ($type == 4 ? $params : $type == 5 ? $body : my $other) .= substr $bytes, 8, $size;
        substr $bytes, 0, 8 + $size + $padding, '';
    }
    return;
}

subtest 'other protocols' => sub {
    backend(fastcgi => \&fastcgi_request);
    backend(uwsgi   => \&uwsgi_request);
    for my $path ('/fastcgi', '/uwsgi') {
        for my $size (10, 100_000) {
            my $body = event('message.received', {content => "\xe9" x $size});
            my $answer = hook_at($path, $body);
            is($answer->{body}, sha256_hex($body) . ' message.received', "$path: $size letters, byte for byte, and the event");
        }
        is(code(forge($path)), '401 signature_mismatch', "$path: forged");
    }
};

done;
